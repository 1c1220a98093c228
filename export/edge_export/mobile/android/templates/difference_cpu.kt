/** How far the GPU is from this phone's CPU; 1 is what the check allowed. */
private fun difference(precision: Precision): Double {
    var worst = 0.0
    model(Use.GPU, precision).use { gpu ->
        model(Use.CPU, precision).use { cpu ->
            repeat(SAMPLES) { sample ->
                val inputs = Inputs(Random(sample))
                val expected = values(inputs.runOn(cpu))
                val found = values(inputs.runOn(gpu))
                for (output in expected.indices) {
                    worst = maxOf(worst, part(found[output], expected[output], ALLOWED[output]))
                }
            }
        }
    }
    report("GPU $precision against the CPU: %.3f of what is allowed".format(worst))
    return worst
}
