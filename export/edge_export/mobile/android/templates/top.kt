/**
 * The [count] classes with the highest scores, the highest first; equal ones in the output's
 * order.
 *
 * @param scores what [run] returned
 */
@JvmOverloads
fun top(scores: FloatArray, count: Int = 5): List<Label> {
    require(scores.size == labels.size) { "${scores.size} scores for ${labels.size} classes" }
    return scores.indices
        .sortedByDescending { scores[it] }
        .take(count)
        .map { Label(it, labels[it], scores[it]) }
}
