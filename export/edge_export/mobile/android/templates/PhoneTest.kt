package @{package}

import android.os.Bundle
import android.util.Log
import androidx.test.ext.junit.runners.AndroidJUnit4
import androidx.test.platform.app.InstrumentationRegistry
import @{package}.@{class}.Precision
import @{package}.@{class}.Use
@{golden_imports}
import kotlin.math.abs
import kotlin.random.Random
import org.junit.Assert.assertTrue
import org.junit.Assume.assumeNoException
import org.junit.Test
import org.junit.runner.RunWith

/**
 * What only a phone can show: how long the model takes, and whether this GPU computes it rightly.
 * Run it with `./gradlew :@{word}:connectedAndroidTest` and read the figures with
 * `adb logcat -d -s @{test_tag}`.
 */
@RunWith(AndroidJUnit4::class)
class @{class}PhoneTest {
    private val context = InstrumentationRegistry.getInstrumentation().targetContext

    @Test
    fun latencyOnTheGpuInFloat32() = latency(Use.GPU, Precision.FLOAT32)

    @Test
    fun latencyOnTheGpuInFloat16() = latency(Use.GPU, Precision.FLOAT16)

    @Test
    fun latencyOnTheCpu() = latency(Use.CPU, Precision.FLOAT32)

    /** Fails where this GPU is off by more than the check before the export allowed. */
    @Test
    fun theGpuIsRightInFloat32() {
        val worst = difference(Precision.FLOAT32)
        assertTrue("the GPU is off by $worst times what is allowed", worst <= 1.0)
    }

    /** Only reports: an app decides how much it gives for speed. */
    @Test
    fun theGpuInFloat16() {
        difference(Precision.FLOAT16)
    }

    private fun latency(use: Use, precision: Precision) {
        val started = System.nanoTime()
        model(use, precision, warmUpRuns = 0).use { model ->
            val created = System.nanoTime() - started
            val first = time(model, Random(0))
            model.warmUp(WARM_UP)
            val times = LongArray(RUNS) { time(model, Random(it)) }
            times.sort()
            report(
                "%s %s: create %.1f ms, first run %.2f, median %.2f, p95 %.2f of %d runs".format(
                    model.accelerator,
                    precision,
                    created / 1e6,
                    first / 1e6,
                    times[RUNS / 2] / 1e6,
                    times[RUNS * 95 / 100] / 1e6,
                    RUNS,
                ),
            )
        }
    }

    /** Nanoseconds of one run, reading the result back included. */
    private fun time(model: @{class}, random: Random): Long {
        val inputs = Inputs(random)
        val before = System.nanoTime()
        inputs.runOn(model)
        return System.nanoTime() - before
    }

    @{difference}

    private fun part(found: DoubleArray, expected: DoubleArray, allowed: Allowed): Double {
        val most = expected.indices.maxOf { abs(found[it] - expected[it]) }
        val limit = allowed.absolute + allowed.relative * expected.maxOf { abs(it) }
        // A NaN is no agreement.
        return if (most <= 0.0) 0.0 else if (most.isNaN()) Double.MAX_VALUE else most / limit
    }

    private fun model(
        use: Use,
        precision: Precision,
        warmUpRuns: Int = 1,
    ): @{class} = try {
        @{class}.create(
            context,
            @{class}.Options(use = use, precision = precision, warmUpRuns = warmUpRuns),
        )
    } catch (error: @{class}Exception) {
        if (use == Use.GPU) {
            report("no figures of the GPU: ${error.message}")
            assumeNoException(error)
        }
        throw error
    }

    private fun report(line: String) {
        Log.i(TAG, line)
        InstrumentationRegistry.getInstrumentation()
            .sendStatus(0, Bundle().apply { putString("stream", "\n$line") })
    }

    /** Pseudo-random numbers; whole numbers and flags are zero. */
    private class Inputs(random: Random) {
        @{input_fields}

        fun runOn(model: @{class}): @{output_type} =
            @{arguments}
    }

    private fun values(output: @{output_type}): List<DoubleArray> = listOf(
        @{results}
    )

    @{golden_class}

    private class Allowed(val relative: Double, val absolute: Double)

    private companion object {
        const val TAG = "@{test_tag}"
        const val WARM_UP = 3
        const val RUNS = 50
        @{samples}

        // In the order of the outputs, from the check before the export.
        val ALLOWED = listOf(
            @{allowed}
        )
    }
}
