/**
 * A class with its score.
 *
 * @property index place in the output
 * @property name what the model's author calls it
 */
class Label(val index: Int, val name: String, val score: Float)
