"""Constants that lie behind the flatbuffer instead of inside it.

Converters put them there from some size on; an interpreter that knows only the flatbuffer then
computes with nothing and says nothing.
"""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema


def outside_buffers(content: bytes) -> tuple[int, ...]:
    """The numbers of the buffers of a sound `.tflite` file that lie behind its flatbuffer."""
    model = schema.Model.GetRootAs(content)
    found = []
    for number in range(model.BuffersLength()):
        buffer = model.Buffers(number)
        # Offset 1 is a placeholder that converters write where the data is inside after all.
        if buffer is not None and (buffer.Offset() > 1 or buffer.Size() > 0):
            found.append(number)
    return tuple(found)
