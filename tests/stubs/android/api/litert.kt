/*
 * What LiteRT 2.3's Kotlin API declares, as far as a generated class uses it, over a phone that a
 * test sets up. Names, parameters and their order are those of litert/kotlin in LiteRT 2.3.0.
 */

package com.google.ai.edge.litert

import android.content.Context
import android.content.res.AssetManager
import java.nio.ByteBuffer
import java.nio.ByteOrder

enum class Accelerator(val value: Int) { NONE(0), CPU(1), GPU(2), NPU(3) }

class LiteRtException(message: String) : Exception(message)

abstract class JniHandle internal constructor() : AutoCloseable {
    private var destroyed = false

    init {
        Phone.open += this
    }

    protected fun assertNotDestroyed() {
        if (destroyed) throw IllegalStateException("The handle has been destroyed.")
    }

    protected abstract fun destroy()

    final override fun close() {
        if (destroyed) return
        destroyed = true
        Phone.open -= this
        destroy()
    }
}

class Environment private constructor() : JniHandle() {
    enum class Option { CompilerPluginLibraryDir, DispatchLibraryDir }

    fun getAvailableAccelerators(): Set<Accelerator> {
        assertNotDestroyed()
        return if (Phone.hasGpuLibrary) setOf(Accelerator.CPU, Accelerator.GPU) else setOf(Accelerator.CPU)
    }

    override fun destroy() {}

    companion object {
        @JvmOverloads
        @JvmStatic
        fun create(options: Map<Option, String> = mapOf()): Environment {
            if (!Phone.hasNativeLibrary) throw UnsatisfiedLinkError("no litert_jni in java.library.path")
            return Environment()
        }

        @JvmOverloads
        @JvmStatic
        fun create(
            context: Context,
            options: Map<Option, String> = mapOf(),
            enableCompilerCache: Boolean = true,
        ): Environment = Environment()
    }
}

/** Bytes, as the native buffer is: a method of another element type copies them all the same. */
class TensorBuffer internal constructor(bytes: Int) : JniHandle() {
    internal val memory: ByteBuffer = ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN)

    fun writeInt(data: IntArray) = write(4 * data.size) { data.forEach { memory.putInt(it) } }

    fun writeFloat(data: FloatArray) = write(4 * data.size) { data.forEach { memory.putFloat(it) } }

    fun writeInt8(data: ByteArray) = write(data.size) { memory.put(data) }

    fun writeBoolean(data: BooleanArray) =
        write(data.size) { data.forEach { memory.put(if (it) 1 else 0) } }

    fun writeLong(data: LongArray) = write(8 * data.size) { data.forEach { memory.putLong(it) } }

    fun readInt(): IntArray = read { IntArray(memory.capacity() / 4) { memory.getInt(4 * it) } }

    fun readFloat(): FloatArray = read { FloatArray(memory.capacity() / 4) { memory.getFloat(4 * it) } }

    fun readInt8(): ByteArray = read { memory.array().copyOf() }

    fun readBoolean(): BooleanArray =
        read { BooleanArray(memory.capacity()) { memory.get(it) != 0.toByte() } }

    fun readLong(): LongArray = read { LongArray(memory.capacity() / 8) { memory.getLong(8 * it) } }

    private fun write(bytes: Int, put: () -> Unit) {
        assertNotDestroyed()
        if (bytes > memory.capacity()) throw LiteRtException("TensorBuffer is smaller than the data")
        memory.clear()
        put()
    }

    private fun <T> read(get: () -> T): T {
        assertNotDestroyed()
        return get()
    }

    override fun destroy() {}
}

class CompiledModel private constructor(
    private val accelerator: Accelerator,
    private val environment: Environment,
) : JniHandle() {
    data class CpuOptions(
        val numThreads: Int? = null,
        val xnnPackFlags: Int? = null,
        val xnnPackWeightCachePath: String? = null,
    )

    data class GpuOptions(
        val constantTensorSharing: Boolean? = null,
        val infiniteFloatCapping: Boolean? = null,
        val allowSrcQuantizedFcConvOps: Boolean? = null,
        val precision: Precision? = null,
        val bufferStorageType: BufferStorageType? = null,
        val preferTextureWeights: Boolean? = null,
        val serializationDir: String? = null,
        val modelCacheKey: String? = null,
        val serializeProgramCache: Boolean? = null,
        val serializeExternalTensors: Boolean? = null,
        val externalTensorsMode: Boolean? = null,
        val externalTensorPattern: String? = null,
        val backend: Backend? = null,
        val priority: Priority? = null,
        val numStepsOfCommandBufferPreparations: Int? = null,
    ) {
        enum class Precision { DEFAULT, FP16, FP32, FP16_WITH_FP32_ACCUM }

        enum class BufferStorageType { DEFAULT, BUFFER, TEXTURE_2D }

        enum class Backend { AUTOMATIC, OPENCL, WEBGPU, OPENGL }

        enum class Priority { DEFAULT, LOW, NORMAL, HIGH }
    }

    class Options(internal val accelerators: Set<Accelerator>) {
        constructor(vararg accelerators: Accelerator) : this(setOf(*accelerators))

        var cpuOptions: CpuOptions? = null
        var gpuOptions: GpuOptions? = null

        companion object {
            @JvmStatic
            val CPU = Options(Accelerator.CPU)
        }
    }

    fun createInputBuffer(inputName: String, signature: String = ""): TensorBuffer =
        buffer(Phone.inputs, inputName, signature)

    fun createOutputBuffer(outputName: String, signature: String = ""): TensorBuffer =
        buffer(Phone.outputs, outputName, signature)

    private fun buffer(known: Map<String, Int>, name: String, signature: String): TensorBuffer {
        assertNotDestroyed()
        if (signature != Phone.signature) throw LiteRtException("Signature not found: $signature")
        return TensorBuffer(known[name] ?: throw LiteRtException("Failed to find tensor $name"))
    }

    fun run(
        inputs: Map<String, TensorBuffer>,
        outputs: Map<String, TensorBuffer>,
        signature: String = "",
    ) {
        assertNotDestroyed()
        if (signature != Phone.signature) throw LiteRtException("Signature not found: $signature")
        if (accelerator == Accelerator.GPU) Phone.gpuRunError?.let { throw LiteRtException(it) }
        Phone.runs += 1
        Phone.compute(inputs.mapValues { it.value.memory }, outputs.mapValues { it.value.memory })
    }

    override fun destroy() {}

    companion object {
        @JvmOverloads
        @JvmStatic
        fun create(
            assetManager: AssetManager,
            assetName: String,
            options: Options = Options.CPU,
            optionalEnv: Environment? = null,
        ): CompiledModel {
            assetManager.open(assetName).close()
            val only = options.accelerators.singleOrNull()
                ?: throw LiteRtException("this phone would hide which of ${options.accelerators} runs")
            if (only == Accelerator.GPU) {
                if (!Phone.hasGpuLibrary) throw LiteRtException("Some ops are not accelerated.")
                Phone.gpuCompileError?.let { throw LiteRtException(it) }
            } else {
                Phone.cpuCompileError?.let { throw LiteRtException(it) }
            }
            Phone.asked += options
            return CompiledModel(only, optionalEnv ?: Environment.create())
        }
    }
}

/** The phone that a test runs on. */
object Phone {
    var hasNativeLibrary = true
    var hasGpuLibrary = true
    var gpuCompileError: String? = null
    var gpuRunError: String? = null
    var cpuCompileError: String? = null

    var signature = ""
    var inputs = mapOf<String, Int>()
    var outputs = mapOf<String, Int>()
    var compute: (Map<String, ByteBuffer>, Map<String, ByteBuffer>) -> Unit = { _, _ -> }

    /** What was created and not closed. */
    val open = mutableSetOf<JniHandle>()
    val asked = mutableListOf<CompiledModel.Options>()
    var runs = 0

    fun reset() {
        hasNativeLibrary = true
        hasGpuLibrary = true
        gpuCompileError = null
        gpuRunError = null
        cpuCompileError = null
        signature = ""
        inputs = mapOf()
        outputs = mapOf()
        compute = { _, _ -> }
        open.clear()
        asked.clear()
        runs = 0
    }
}
