/** An input with what the reference made of it before the export, from this test's assets. */
private class Golden {
    @{golden_fields}
    val expected = listOf(
        @{golden_expected}
    )

    fun runOn(model: @{class}): @{output_type} =
        @{arguments}

    private fun read(name: String): ByteBuffer {
        val assets = InstrumentationRegistry.getInstrumentation().context.assets
        val bytes = assets.open("@{word}/$name").use { it.readBytes() }
        return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN)
    }
}
