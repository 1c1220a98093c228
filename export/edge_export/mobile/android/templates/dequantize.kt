private fun dequantize(stored: ByteArray, scale: Float, zeroPoint: Int) =
    FloatArray(stored.size) { scale * (stored[it] - zeroPoint) }
