/** How far the GPU is from the reference's results before the export; 1 is what was allowed. */
private fun difference(precision: Precision): Double {
    val golden = Golden()
    val found = model(Use.GPU, precision).use { values(golden.runOn(it)) }
    val worst = found.indices.maxOf { part(found[it], golden.expected[it], ALLOWED[it]) }
    report("GPU $precision against the reference: %.3f of what is allowed".format(worst))
    return worst
}
