package android.os

class Bundle {
    private val values = mutableMapOf<String, String?>()

    fun putString(key: String, value: String?) {
        values[key] = value
    }
}
