"""Batch files in memory."""

from collections.abc import Iterator
from dataclasses import replace
from hashlib import md5

from payments.domain.batch.report import FileParts, ResultFile
from payments.domain.batch.state import Source
from payments.ports.batch_files import LEAST_PART_BYTES, UploadLost


class MemoryBatchFiles:
    """Files in a dict: (key, version id) or a result's key → bytes. `versions` holds every version of a result.

    `chunk_bytes` is the size of the chunks read, and `least_part_bytes` that of the smallest part but the last.
    """

    def __init__(self, chunk_bytes: int = 7, least_part_bytes: int = LEAST_PART_BYTES) -> None:
        self.uploads: dict[tuple[str, str], bytes] = {}
        self.results: dict[str, bytes] = {}
        self.versions: dict[ResultFile, bytes] = {}
        self.tails: dict[str, bytes] = {}
        self.unfinished: dict[str, dict[int, bytes]] = {}
        self.parts_uploaded = 0
        self._finished: dict[str, ResultFile] = {}
        self._chunk_bytes = chunk_bytes
        self._least_part_bytes = least_part_bytes

    def upload(self, key: str, content: bytes, version_id: str = "v1") -> Source:
        """Store a file, as an uploader does."""
        self.uploads[key, version_id] = content
        return Source("bucket", key, version_id, "etag", len(content))

    def read(self, source: Source, start: int = 0) -> Iterator[bytes]:
        """The bytes of the file's version from byte `start` on, in chunks."""
        content = self.uploads[source.key, source.version_id]
        for offset in range(start, len(content), self._chunk_bytes):
            yield content[offset : offset + self._chunk_bytes]

    def add_part(self, source: Source, name: str, parts: FileParts, content: bytes) -> FileParts:
        """Store the next part. Raises UploadLost."""
        if not parts.upload_id:
            upload_id = f"{source.result_key(name)}#{len(self.unfinished) + len(self._finished) + 1}"
            self.unfinished[upload_id] = {}
            parts = FileParts(upload_id, upload_id)
        if parts.upload_id not in self.unfinished:
            raise UploadLost(f"{name}: there is no upload {parts.upload_id}")
        self.parts_uploaded += 1
        self.unfinished[parts.upload_id][len(parts.etags) + 1] = content
        return replace(parts, etags=(*parts.etags, _etag(content)))

    def finish(self, source: Source, name: str, parts: FileParts, rest: bytes) -> ResultFile:
        """Store a result file. Raises UploadLost, and ValueError for a part that S3 would refuse as too small."""
        key = source.result_key(name)
        if not parts.upload_id:
            return self._store(key, rest)
        if parts.upload_id in self._finished:
            return self._finished[parts.upload_id]
        parts = self.add_part(source, name, parts, rest) if rest else parts
        contents = [self.unfinished[parts.upload_id][n] for n in range(1, len(parts.etags) + 1)]
        if tuple(map(_etag, contents)) != parts.etags:
            raise UploadLost(f"{name}: another run replaced a part")
        if any(len(content) < self._least_part_bytes for content in contents[:-1]):
            raise ValueError(f"{name}: a part is smaller than {self._least_part_bytes} bytes")
        del self.unfinished[parts.upload_id]
        self._finished[parts.upload_id] = self._store(key, b"".join(contents))
        return self._finished[parts.upload_id]

    def save_tails(self, source: Source, content: bytes) -> str:
        """Store the content under a new key."""
        key = f"{source.reporting_prefix}{len(self.tails) + 1}"
        self.tails[key] = content
        return key

    def read_tails(self, source: Source, key: str) -> bytes:
        """What `save_tails` stored. Raises UploadLost."""
        if key not in self.tails:
            raise UploadLost(f"{source.batch_id}: there is no {key}")
        return self.tails[key]

    def _store(self, key: str, content: bytes) -> ResultFile:
        file = ResultFile(key, f"r{len(self.versions) + 1}")
        self.results[key] = self.versions[file] = content
        return file


def _etag(content: bytes) -> str:
    return md5(content, usedforsecurity=False).hexdigest()
