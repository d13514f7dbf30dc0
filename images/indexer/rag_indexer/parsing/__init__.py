"""From bytes to text: `documents.parse` chooses by the path's suffix."""
