"""Writes safetensors files whose bytes depend on nothing but their content."""

import json
import struct

import numpy as np

DTYPES = {"<f4": "F32", "<u4": "U32", "<i4": "I32"}


def write(path, tensors, metadata):
    """Writes `tensors` (name to array) in the order given, with a dictionary of strings as metadata."""
    header, chunks, end = {"__metadata__": metadata}, [], 0
    for name, array in tensors.items():
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        begin, end = end, end + array.nbytes
        header[name] = {
            "dtype": DTYPES[array.dtype.str],
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
        chunks.append(array.tobytes())
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(chunks))
