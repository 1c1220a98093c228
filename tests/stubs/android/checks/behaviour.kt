/*
 * What a generated class does on a phone, checked on the JVM: prints "ok NAME" or "failed NAME: WHY"
 * for each behaviour. The argument is the folder of the model's assets.
 */

package checks

import android.content.Context
import android.content.res.AssetManager
import android.util.Log
import androidx.test.platform.app.InstrumentationRegistry
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel.GpuOptions
import com.google.ai.edge.litert.LiteRtException
import com.google.ai.edge.litert.Phone
import edgeautoglm.digits.Digits
import edgeautoglm.digits.DigitsException
import edgeautoglm.digits.DigitsPhoneTest
import edgeautoglm.every_kind.EveryKind
import edgeautoglm.golden_digits.GoldenDigitsPhoneTest
import edgeautoglm.thousand_classes.ThousandClasses
import edgeautoglm.two_outputs.TwoOutputs
import java.io.File
import java.lang.reflect.InvocationTargetException
import java.nio.ByteBuffer
import kotlin.concurrent.thread
import org.junit.AssumptionViolatedException
import org.junit.Test

private lateinit var context: Context
private val image = FloatArray(64) { it / 64f }

/** A phone with the model "digits", whose score of class i is i. */
private fun phone() {
    Phone.reset()
    Log.lines.clear()
    Phone.signature = "serving_default"
    Phone.inputs = mapOf("image" to 4 * 64)
    Phone.outputs = mapOf("scores" to 4 * 10)
    Phone.compute = { inputs, outputs ->
        val first = inputs.getValue("image").getFloat(0)
        val scores = outputs.getValue("scores")
        for (index in 0 until 10) scores.putFloat(4 * index, index + first)
    }
}

private fun behaviour(name: String, body: () -> Unit) {
    phone()
    try {
        body()
        println("ok $name")
    } catch (error: Throwable) {
        println("failed $name: $error ${error.stackTrace.firstOrNull()}")
    }
}

private inline fun <reified T : Throwable> throws(body: () -> Unit): T {
    try {
        body()
    } catch (error: Throwable) {
        if (error is T) return error
        throw error
    }
    error("no ${T::class.simpleName} was thrown")
}

private fun same(found: Any?, expected: Any?) = check(found == expected) { "$found, not $expected" }

private fun options(model: Int = Phone.asked.lastIndex) = Phone.asked[model]

private val gpuAlone = Digits.Options(use = Digits.Use.GPU)

/** Runs the phone test's method; its failure is thrown. */
private fun onPhone(method: String, test: Class<*> = DigitsPhoneTest::class.java) {
    val found = test.declaredMethods.single { it.name == method }
    check(found.isAnnotationPresent(Test::class.java))
    try {
        found.invoke(test.getDeclaredConstructor().newInstance())
    } catch (error: InvocationTargetException) {
        throw error.targetException
    }
}

fun main(arguments: Array<String>) {
    context = Context(AssetManager(File(arguments[0])))
    InstrumentationRegistry.register(context)

    behaviour("the GPU is asked for alone and nothing is told") {
        Digits.create(context) { error("told: ${it.reason}") }.use { digits ->
            same(digits.accelerator, Digits.Accelerator.GPU)
            same(digits.fallback, null)
        }
        same(Phone.asked.size, 1)
        same(Log.lines, listOf<String>())
    }
    behaviour("a GPU that does not take the model gives way to the CPU, aloud") {
        Phone.gpuCompileError = "RFFT2D: Operation is not supported."
        var told: Digits.Fallback? = null
        Digits.create(context) { told = it }.use { digits ->
            same(digits.accelerator, Digits.Accelerator.CPU)
            val fallback = digits.fallback!!
            check(fallback === told)
            check("RFFT2D: Operation is not supported." in fallback.reason) { fallback.reason }
            check(fallback.cause is LiteRtException)
            same(digits.run(image).size, 10)
        }
        check(Log.lines.single().startsWith("W/Digits: digits runs on the CPU: ")) { Log.lines }
    }
    behaviour("the warning goes to the log without a listener too") {
        Phone.gpuCompileError = "no"
        Digits.create(context).close()
        same(Log.lines.size, 1)
    }
    behaviour("a missing litert-gpu is named as the reason") {
        Phone.hasGpuLibrary = false
        Digits.create(context).use { digits ->
            val reason = digits.fallback!!.reason
            check("litert-gpu:2.3.0" in reason) { reason }
        }
    }
    behaviour("a GPU that compiles the model but cannot run it gives way to the CPU") {
        Phone.gpuRunError = "CL_OUT_OF_RESOURCES"
        Digits.create(context).use { digits ->
            same(digits.accelerator, Digits.Accelerator.CPU)
            check("CL_OUT_OF_RESOURCES" in digits.fallback!!.reason)
        }
        same(Phone.open.size, 0)
    }
    behaviour("the GPU alone throws where there is none and leaves nothing open") {
        Phone.gpuCompileError = "no such operator"
        val error = throws<DigitsException> { Digits.create(context, gpuAlone) }
        check("no such operator" in error.message!!)
        same(Phone.open.size, 0)
        same(Log.lines.size, 0)
    }
    behaviour("the CPU alone does not try the GPU and is no fallback") {
        Digits.create(context, Digits.Options(use = Digits.Use.CPU, cpuThreads = 3)).use { digits ->
            same(digits.accelerator, Digits.Accelerator.CPU)
            same(digits.fallback, null)
        }
        same(Phone.asked.size, 1)
        same(options().cpuOptions!!.numThreads, 3)
        same(options().gpuOptions, null)
    }
    behaviour("a model that nothing compiles throws and leaves nothing open") {
        Phone.gpuCompileError = "not on the GPU"
        Phone.cpuCompileError = "not on the CPU"
        val error = throws<DigitsException> { Digits.create(context) }
        check("not on the CPU" in error.message!!)
        same(Phone.open.size, 0)
    }
    behaviour("buffers that cannot all be created leave nothing open") {
        Phone.outputs = mapOf()
        val error = throws<DigitsException> { Digits.create(context) }
        check("scores" in error.message!!) { error }
        same(Phone.open.size, 0)
    }
    behaviour("a phone that LiteRT has no library for gets an exception that says so") {
        Phone.hasNativeLibrary = false
        check("processor" in throws<DigitsException> { Digits.create(context) }.message!!)
    }
    behaviour("what is thrown by the listener passes through and leaves nothing open") {
        Phone.gpuCompileError = "no"
        throws<UnsupportedOperationException> {
            Digits.create(context) { throw UnsupportedOperationException() }
        }
        same(Phone.open.size, 0)
    }
    behaviour("the defaults are the arithmetic of the check and no cache") {
        Digits.create(context).close()
        same(
            options().gpuOptions,
            GpuOptions(
                precision = GpuOptions.Precision.FP32,
                priority = GpuOptions.Priority.DEFAULT,
            ),
        )
    }
    behaviour("precision, priority and program cache reach LiteRT") {
        val cache = File(arguments[0], "programs/gpu")
        val asked = Digits.Options(
            precision = Digits.Precision.FLOAT16,
            priority = Digits.Priority.LOW,
            programCache = cache,
        )
        Digits.create(context, asked).close()
        val given = options().gpuOptions!!
        same(given.precision, GpuOptions.Precision.FP16)
        same(given.priority, GpuOptions.Priority.LOW)
        same(given.serializationDir, cache.absolutePath)
        same(given.serializeProgramCache, true)
        check(cache.isDirectory)
        Digits.create(context, asked.copy(precision = Digits.Precision.FLOAT32)).close()
        check(options().gpuOptions!!.modelCacheKey != given.modelCacheKey)
    }
    behaviour("warm-up runs within create as often as asked") {
        Digits.create(context, Digits.Options(warmUpRuns = 4)).use { digits ->
            same(Phone.runs, 4)
            digits.warmUp(2)
            same(Phone.runs, 6)
        }
    }
    behaviour("a run gives what the model computed") {
        Digits.create(context).use { digits ->
            same(digits.run(FloatArray(64) { 5f }).toList(), List(10) { it + 5f })
        }
    }
    behaviour("an input of another size is refused by name and size") {
        Digits.create(context).use { digits ->
            val error = throws<IllegalArgumentException> { digits.run(FloatArray(63)) }
            same(error.message, "image takes 64 values, not 63")
            throws<IllegalArgumentException> { digits.run(FloatArray(65)) }
        }
    }
    behaviour("a run that fails later says what to try") {
        Digits.create(context).use { digits ->
            Phone.gpuRunError = "device lost"
            val error = throws<DigitsException> { digits.run(image) }
            check("device lost" in error.message!! && "Use.CPU" in error.message!!)
            Phone.gpuRunError = null
            same(digits.run(image).size, 10)
        }
    }
    behaviour("closing frees everything, twice does nothing, use afterwards throws") {
        val digits = Digits.create(context)
        check(Phone.open.size == 4) { Phone.open }
        digits.close()
        same(Phone.open.size, 0)
        digits.close()
        same(throws<IllegalStateException> { digits.run(image) }.message, "digits is closed")
        throws<IllegalStateException> { digits.warmUp() }
    }
    behaviour("a second thread during a run is refused and the first goes on") {
        Digits.create(context).use { digits ->
            val compute = Phone.compute
            val refused = mutableListOf<Throwable?>()
            Phone.compute = { inputs, outputs ->
                for (call in listOf({ digits.warmUp() }, { digits.close() })) {
                    thread { refused += runCatching(call).exceptionOrNull() }.join()
                }
                compute(inputs, outputs)
            }
            same(digits.run(image).size, 10)
            same(refused.size, 2)
            check(refused.all { it is IllegalStateException }) { refused }
        }
    }
    behaviour("top gives the highest classes by name, equal ones in order") {
        Digits.create(context).use { digits ->
            val scores = floatArrayOf(0f, 3f, 1f, 3f, 0f, 0f, 0f, 0f, 0f, 9f)
            val best = digits.top(scores, count = 3)
            same(best.map { it.name }, listOf("nine", "one", "three"))
            same(best.map { it.index }, listOf(9, 1, 3))
            same(best.map { it.score }, listOf(9f, 3f, 3f))
            same(digits.top(scores, count = 99).size, 10)
            throws<IllegalArgumentException> { digits.top(FloatArray(11)) }
        }
    }
    behaviour("several inputs and outputs go by name") {
        Phone.signature = ""
        Phone.inputs = mapOf("ids:0" to 4 * 3, "mask" to 3)
        Phone.outputs = mapOf("sums" to 8, "any" to 1)
        Phone.compute = { inputs: Map<String, ByteBuffer>, outputs: Map<String, ByteBuffer> ->
            val ids = inputs.getValue("ids:0")
            val mask = inputs.getValue("mask")
            val kept = (0 until 3).filter { mask.get(it) != 0.toByte() }
            outputs.getValue("sums").putLong(0, kept.sumOf { ids.getInt(4 * it).toLong() })
            outputs.getValue("any").put(0, if (kept.isEmpty()) 0 else 1)
        }
        TwoOutputs.create(context).use { model ->
            val output = model.run(
                mask = booleanArrayOf(true, false, true),
                ids = intArrayOf(1, 20, 300),
            )
            same(output.sums.toList(), listOf(301L))
            same(output.any.toList(), listOf(true))
        }
    }
    behaviour("every element type and rank goes in and comes out") {
        val sizes = mapOf(
            "real" to 480, "scalar" to 4, "whole" to 12, "long" to 24, "flag" to 4, "raw" to 8,
            "raw_unsigned" to 1, "stored" to 4, "stored_unsigned" to 4,
        )
        Phone.signature = ""
        Phone.inputs = sizes
        Phone.outputs = sizes
        Phone.compute = { inputs, outputs ->
            for ((name, memory) in inputs) memory.array().copyInto(outputs.getValue(name).array())
        }
        EveryKind.create(context).use { model ->
            val output = model.run(
                real = FloatArray(120) { it * 0.5f },
                scalar = floatArrayOf(-3f),
                whole = intArrayOf(Int.MIN_VALUE, 0, Int.MAX_VALUE),
                long = longArrayOf(Long.MIN_VALUE, 0, Long.MAX_VALUE),
                flag = booleanArrayOf(true, false, false, true),
                raw = ByteArray(8) { (it - 4).toByte() },
                rawUnsigned = byteArrayOf(-1),
                stored = floatArrayOf(-99f, 0f, 0.5f, 99f),
                storedUnsigned = floatArrayOf(-1f, 0f, 1f, 9f),
            )
            same(output.real.toList(), List(120) { it * 0.5f })
            same(output.scalar.toList(), listOf(-3f))
            same(output.whole.toList(), listOf(Int.MIN_VALUE, 0, Int.MAX_VALUE))
            same(output.long.toList(), listOf(Long.MIN_VALUE, 0, Long.MAX_VALUE))
            same(output.flag.toList(), listOf(true, false, false, true))
            same(output.raw.toList(), List(8) { (it - 4).toByte() })
            same(output.rawUnsigned.toList(), listOf<Byte>(-1))
            same(output.stored.toList(), listOf(0.1f * -131, 0f, 0.5f, 0.1f * 124))
            same(output.storedUnsigned.toList(), listOf(0f, 0f, 1f, 1f))
        }
    }
    behaviour("names of very many classes come from the assets") {
        Phone.signature = ""
        Phone.inputs = mapOf("image" to 16)
        Phone.outputs = mapOf("scores" to 4000)
        ThousandClasses.create(context).use { model ->
            same(model.labels.size, 1000)
            val scores = FloatArray(1000).also { it[999] = 1f }
            same(model.top(scores, 1).single().name, "class 999")
        }
    }
    behaviour("the phone's test passes where the GPU agrees, and reports its latency") {
        for (method in listOf("latencyOnTheGpuInFloat32", "latencyOnTheGpuInFloat16",
            "latencyOnTheCpu", "theGpuIsRightInFloat32", "theGpuInFloat16")) {
            onPhone(method)
        }
        same(Phone.open.size, 0)
        val figures = Regex("I/DigitsPhoneTest: (GPU|CPU) FLOAT.*create .* ms, first run .*, median .*, p95 .*")
        same(Log.lines.count { figures.containsMatchIn(it) }, 3)
    }
    for ((name, wrong) in mapOf("off by 1 percent" to 1.01f, "not a number" to Float.NaN)) {
        behaviour("the phone's test fails where the GPU is $name") {
            val compute = Phone.compute
            Phone.compute = { inputs, outputs ->
                compute(inputs, outputs)
                // The GPU's model is the one that was created first.
                if (Phone.runs % 2 == 0) outputs.getValue("scores").putFloat(36, 9f * wrong)
            }
            throws<AssertionError> { onPhone("theGpuIsRightInFloat32") }
        }
    }
    behaviour("the phone's test holds the GPU against the reference's result where there is one") {
        val test = GoldenDigitsPhoneTest::class.java
        onPhone("theGpuIsRightInFloat32", test)
        onPhone("theGpuInFloat16", test)
        check(Phone.asked.all { it.gpuOptions != null })
        val compute = Phone.compute
        Phone.compute = { inputs, outputs ->
            compute(inputs, outputs)
            outputs.getValue("scores").putFloat(0, 2.02f)
        }
        throws<AssertionError> { onPhone("theGpuIsRightInFloat32", test) }
        same(Phone.open.size, 0)
    }
    behaviour("the phone's test is skipped, with the reason, where there is no GPU") {
        Phone.hasGpuLibrary = false
        for (method in listOf("latencyOnTheGpuInFloat32", "theGpuIsRightInFloat32")) {
            val error = throws<AssumptionViolatedException> { onPhone(method) }
            check("litert-gpu" in error.message!!)
        }
        onPhone("latencyOnTheCpu")
    }
}
