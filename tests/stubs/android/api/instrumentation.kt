package androidx.test.platform.app

import android.content.Context
import android.os.Bundle

class Instrumentation(val targetContext: Context, val context: Context) {
    fun sendStatus(resultCode: Int, results: Bundle) {}
}

object InstrumentationRegistry {
    lateinit var instrumentation: Instrumentation
        private set

    @JvmStatic
    @JvmName("instrumentation")
    fun getInstrumentation(): Instrumentation = instrumentation

    fun register(context: Context) {
        instrumentation = Instrumentation(context, context)
    }
}
