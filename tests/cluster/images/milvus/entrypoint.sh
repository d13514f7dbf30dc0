# The configuration lies beside the data, because the image's own file system may be read-only.
set -eu
LD_LIBRARY_PATH= python /opt/milvus_files.py configure /opt/milvus /var/lib/milvus
# The official image is started as `milvus run standalone`.
if [ "${1:-}" = milvus ]; then shift; fi
exec /opt/milvus/milvus "$@"
