// As TensorFlow Lite's QUANTIZE: divides in float32, rounds halves away from zero, clamps.
private fun quantize(
    name: String,
    values: FloatArray,
    scale: Float,
    zeroPoint: Int,
    range: IntRange,
): ByteArray = ByteArray(values.size) { index ->
    require(!values[index].isNaN()) { "value $index of $name is NaN" }
    val steps = (values[index] / scale).toDouble()
    val rounded = if (steps < 0) -floor(0.5 - steps) else floor(steps + 0.5)
    val least = range.first.toDouble()
    (rounded + zeroPoint).coerceIn(least, range.last.toDouble()).toInt().toByte()
}
