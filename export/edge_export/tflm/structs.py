"""Which TFLM the arena model describes, and how many bytes its structs take on a 32-bit Arm.

Everything here is a fact of one version, measured: `sizeof` under arm-none-eabi-gcc (AAPCS, short
enums), TF_LITE_STATIC_MEMORY defined, no compression. Only this module has to change with TFLM.
`tools/tflm_arena` holds the sizes, and what follows from them, against a real library.
"""

from __future__ import annotations

from dataclasses import dataclass

TFLM_COMMIT = "90b983c2b3f1"
"""Of github.com/tensorflow/tflite-micro."""
CMSIS_NN_COMMIT = "4ab83cc3cc98"
"""Of github.com/ARM-software/CMSIS-NN, the one that this TFLM's own build takes."""

ALIGNMENT = 16
"""MicroArenaBufferAlignment(): of the arena, of planned buffers and of what kernels keep."""
MOST_SCRATCH_OF_AN_OP = 12
"""kMaxScratchBuffersPerOp: so many requests have room in the head while an op is prepared."""
PLANNED_BUFFER = 40
"""GreedyMemoryPlanner::per_buffer_size(): its notes about one buffer, while it plans."""
POINTER = 4
OFFLINE_PLAN = "OfflineMemoryAllocation"
"""Name of the metadata that fixes offsets of tensors."""


@dataclass(frozen=True)
class Struct:
    """Bytes and alignment of a C++ type; `header` is empty when a .cc file keeps it to itself."""

    size: int
    align: int
    source: str

    @property
    def header(self) -> str:
        return self.source if self.source.endswith(".h") else ""


_MICRO = "tensorflow/lite/micro/"
_KERNELS = _MICRO + "kernels/"
_COMMON = "tensorflow/lite/c/common.h"
_OPTIONS = "tensorflow/lite/c/builtin_op_data.h"
_TYPES = "tensorflow/lite/kernels/internal/types.h"

# What the interpreter and its allocator keep or make for a while.
CORE: dict[str, Struct] = {
    "tflite::SingleArenaBufferAllocator": Struct(
        36, 4, _MICRO + "arena_allocator/single_arena_buffer_allocator.h"
    ),
    "tflite::GreedyMemoryPlanner": Struct(44, 4, _MICRO + "memory_planner/greedy_memory_planner.h"),
    "tflite::MicroAllocator": Struct(36, 4, _MICRO + "micro_allocator.h"),
    "MicroBuiltinDataAllocator": Struct(8, 4, _MICRO + "micro_allocator.cc"),
    "tflite::SubgraphAllocations": Struct(8, 4, _MICRO + "micro_allocator.h"),
    "tflite::ScratchBufferHandle": Struct(4, 4, _MICRO + "micro_allocator.h"),
    "tflite::internal::ScratchBufferRequest": Struct(12, 4, _MICRO + "micro_allocator.h"),
    "tflite::AllocationInfo": Struct(24, 4, _MICRO + "micro_allocation_info.h"),
    "tflite::NodeAndRegistration": Struct(32, 4, _MICRO + "micro_allocator.h"),
    "TfLiteEvalTensor": Struct(12, 4, _COMMON),
    "TfLiteTensor": Struct(32, 4, _COMMON),
    "TfLiteAffineQuantization": Struct(12, 4, _COMMON),
}

# What `Parse...` of flatbuffer_conversions.cc makes of an operator's options.
OPTIONS: dict[str, Struct] = {
    name: Struct(size, align, _OPTIONS)
    for name, size, align in (
        ("TfLiteAddParams", 2, 1),
        ("TfLiteArgMaxParams", 1, 1),
        ("TfLiteArgMinParams", 1, 1),
        ("TfLiteBatchMatMulParams", 3, 1),
        ("TfLiteCastParams", 2, 1),
        ("TfLiteConcatenationParams", 8, 4),
        ("TfLiteConvParams", 28, 4),
        ("TfLiteCumsumParams", 2, 1),
        ("TfLiteDepthToSpaceParams", 4, 4),
        ("TfLiteDepthwiseConvParams", 28, 4),
        ("TfLiteDivParams", 1, 1),
        ("TfLiteFullyConnectedParams", 5, 1),
        ("TfLiteGatherParams", 8, 4),
        ("TfLiteL2NormParams", 1, 1),
        ("TfLiteLeakyReluParams", 4, 4),
        ("TfLiteMirrorPaddingParams", 1, 1),
        ("TfLiteMulParams", 1, 1),
        ("TfLitePackParams", 8, 4),
        ("TfLitePoolParams", 40, 4),
        ("TfLiteReducerParams", 1, 1),
        ("TfLiteReshapeParams", 36, 4),
        ("TfLiteResizeBilinearParams", 2, 1),
        ("TfLiteResizeNearestNeighborParams", 2, 1),
        ("TfLiteShapeParams", 1, 1),
        ("TfLiteSoftmaxParams", 4, 4),
        ("TfLiteSpaceToDepthParams", 4, 4),
        ("TfLiteSplitParams", 4, 4),
        ("TfLiteSplitVParams", 4, 4),
        ("TfLiteSqueezeParams", 36, 4),
        ("TfLiteStridedSliceParams", 24, 4),
        ("TfLiteSubParams", 2, 1),
        ("TfLiteSVDFParams", 8, 4),
        ("TfLiteTransposeConvParams", 16, 4),
        ("TfLiteUnpackParams", 8, 4),
    )
}

# What a kernel keeps for itself: `node->user_data`, and what hangs on it. A kernel's buffers are
# aligned to ALIGNMENT whatever their type. A type with a name that several files use is told by
# its file.
KERNELS: dict[str, Struct] = {
    "ReluOpData": Struct(28, 4, _KERNELS + "activations.h"),
    "Relu6OpData": Struct(8, 4, _KERNELS + "activations.h"),
    "OpDataAdd": Struct(60, 4, _KERNELS + "add.h"),
    "cmsis_nn/add.cc OpData": Struct(60, 4, _KERNELS + "cmsis_nn/add.cc"),
    "add_n.cc OpData": Struct(40, 4, _KERNELS + "add_n.cc"),
    "OpDataBatchMatmul": Struct(16, 4, _KERNELS + "batch_matmul.h"),
    "QuantizationOpDataBatchMatmul": Struct(28, 4, _KERNELS + "batch_matmul.h"),
    "cmsis_nn/batch_matmul.cc OpData": Struct(36, 4, _KERNELS + "cmsis_nn/batch_matmul.cc"),
    "comparisons.cc OpData": Struct(32, 4, _KERNELS + "comparisons.cc"),
    "concatenation.cc OpData": Struct(24, 4, _KERNELS + "concatenation.cc"),
    "OpDataConv": Struct(56, 4, _KERNELS + "conv.h"),
    "cmsis_nn/conv.cc OpData": Struct(60, 4, _KERNELS + "cmsis_nn/conv.cc"),
    "cmsis_nn/depthwise_conv.cc OpData": Struct(60, 4, _KERNELS + "cmsis_nn/depthwise_conv.cc"),
    "cumsum.cc OpData": Struct(36, 4, _KERNELS + "cumsum.cc"),
    "DequantizeOpData": Struct(32, 8, _KERNELS + "dequantize.h"),
    "OpDataDiv": Struct(28, 4, _KERNELS + "div.cc"),
    "OpDataAbsRsqrt": Struct(28, 4, _KERNELS + "elementwise.cc"),
    "elu.cc OpData": Struct(256, 1, _KERNELS + "elu.cc"),
    "embedding_lookup.cc OpData": Struct(8, 4, _KERNELS + "embedding_lookup.cc"),
    "OpDataFullyConnected": Struct(48, 4, _KERNELS + "fully_connected.h"),
    "cmsis_nn/fully_connected.cc OpData": Struct(72, 4, _KERNELS + "cmsis_nn/fully_connected.cc"),
    "HardSwishParams": Struct(20, 4, _TYPES),
    "L2NormalizationParams": Struct(4, 4, _TYPES),
    "LeakyReluOpData": Struct(24, 4, _KERNELS + "leaky_relu.h"),
    "LogSoftmaxOpData": Struct(28, 4, _KERNELS + "log_softmax.cc"),
    "OpDataLogistic": Struct(16, 4, _KERNELS + "logistic.h"),
    "OpDataMirrorPad": Struct(20, 4, _KERNELS + "mirror_pad.cc"),
    "OpDataMul": Struct(36, 4, _KERNELS + "mul.h"),
    "pad_common.cc OpData": Struct(56, 4, _KERNELS + "pad.h"),
    "OpDataPooling": Struct(32, 4, _KERNELS + "pooling.h"),
    "cmsis_nn/pooling.cc OpData": Struct(36, 4, _KERNELS + "cmsis_nn/pooling.cc"),
    "PreluParams": Struct(28, 4, _TYPES),
    "OpDataQuantizeReference": Struct(32, 8, _KERNELS + "quantize.h"),
    "OpDataReduce": Struct(44, 4, _KERNELS + "reduce.h"),
    "select.cc OpData": Struct(1, 1, _KERNELS + "select.cc"),
    "SoftmaxParams": Struct(56, 4, _TYPES),
    "CMSISNNSoftmaxParams": Struct(64, 4, _KERNELS + "cmsis_nn/softmax.cc"),
    "SpaceToBatchParams": Struct(4, 4, _TYPES),
    "squared_difference.cc OpData": Struct(112, 4, _KERNELS + "squared_difference.cc"),
    "StridedSliceParams": Struct(84, 4, _TYPES),
    "OpDataSub": Struct(52, 4, _KERNELS + "sub.h"),
    "OpDataSvdf": Struct(36, 4, _KERNELS + "svdf.h"),
    "CmsisNnOpDataSvdf": Struct(40, 4, _KERNELS + "cmsis_nn/svdf.cc"),
    "tanh.cc OpData": Struct(16, 4, _KERNELS + "tanh.cc"),
    "transpose_conv.cc OpData": Struct(72, 4, _KERNELS + "transpose_conv.cc"),
    "cmsis_nn/transpose_conv.cc OpData": Struct(76, 4, _KERNELS + "cmsis_nn/transpose_conv.cc"),
}
