package android.util

object Log {
    val lines = mutableListOf<String>()

    @JvmStatic
    fun i(tag: String, message: String): Int {
        lines += "I/$tag: $message"
        return 0
    }

    @JvmStatic
    fun w(tag: String, message: String, error: Throwable): Int {
        lines += "W/$tag: $message"
        return 0
    }
}
