private fun dequantizeUnsigned(stored: ByteArray, scale: Float, zeroPoint: Int) =
    FloatArray(stored.size) { scale * ((stored[it].toInt() and 0xFF) - zeroPoint) }
