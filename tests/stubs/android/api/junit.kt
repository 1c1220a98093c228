package org.junit

@Retention(AnnotationRetention.RUNTIME)
annotation class Test

class AssumptionViolatedException(message: String?) : RuntimeException(message)

object Assert {
    @JvmStatic
    fun assertTrue(message: String, condition: Boolean) {
        if (!condition) throw AssertionError(message)
    }
}

object Assume {
    @JvmStatic
    fun assumeNoException(error: Throwable?) {
        if (error != null) throw AssumptionViolatedException(error.message)
    }
}
