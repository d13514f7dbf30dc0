"""The one door to Milvus: what an index is there, how it is read whole, and what may be dropped.

MilvusError
├── UnavailableError          another attempt may succeed
│   ├── NotLoadedError        the collection cannot be queried yet
│   └── ClosedError           we closed the connection ourselves
├── MissingError              no such collection
├── NotOursError              the properties name another owner
├── UnsupportedError          this server lacks what is needed
├── IncompleteReadError       an enumeration missed rows
└── RefusedError              the request is wrong
    ├── LoginError            name, password or certificate is wrong
    └── TooLargeError         the answer would have more bytes than the server gives; parts of it can be had

Import what you need from the modules; nothing is loaded here, so that a reader does not pay for a writer.
"""
