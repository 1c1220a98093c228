package @{package}

import android.content.Context
@{asset_import}
import android.util.Log
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.Environment
import com.google.ai.edge.litert.LiteRtException
import com.google.ai.edge.litert.TensorBuffer
import java.io.File
import java.util.concurrent.atomic.AtomicBoolean
@{math_imports}
import com.google.ai.edge.litert.Accelerator as LiteRtAccelerator

/**
@{summary}
 *
@{verdict_doc}
 *
 * ```
@{usage_doc}
 * ```
 *
 * **GPU and CPU.** [create] asks for the GPU alone, so that no part of the model can run on the CPU
 * unseen. Where that fails the model runs on the CPU, [accelerator] and [fallback] say so, a
 * warning goes to the log, and the listener given to [create] is called.
 *
 * **Threads.** Not thread-safe: one call at a time; a call during another one throws
 * [IllegalStateException]. Create, run and close it on one worker thread, as that of
 * `Executors.newSingleThreadExecutor()`: an OpenGL context, which LiteRT may take where a phone has
 * no OpenCL, belongs to its thread. Never use the main thread: [create] compiles the model, and
 * [run] waits for the GPU.
 *
 * Written by edge-autoglm for LiteRT @{litert}; do not edit, export the model again.
 */
class @{class} private constructor(
    private val environment: Environment,
    private val compiled: CompiledModel,
    /** Where the model runs: all of it. */
    val accelerator: Accelerator,
    /** Why it does not run on the GPU; null where it does, or where [Options.use] is the CPU. */
    val fallback: Fallback?,
    @{labels_parameter}
) : AutoCloseable {
    /** Where a model runs. */
    enum class Accelerator { GPU, CPU }

    /** What may be used. */
    enum class Use {
        /** The GPU, or the CPU with a warning. */
        GPU_OR_CPU,

        /** The GPU, or [create] throws. */
        GPU,

        /** The CPU, without trying the GPU. */
        CPU,
    }

    /** The arithmetic of the GPU. The CPU computes in float32 in any case. */
    enum class Precision(internal val litert: CompiledModel.GpuOptions.Precision) {
        /** @{checked} */
        FLOAT32(CompiledModel.GpuOptions.Precision.FP32),

        /**
         * What LiteRT takes where nothing is asked for; values past 65,504 overflow.
         * For this model: @{half}.
         */
        FLOAT16(CompiledModel.GpuOptions.Precision.FP16),

        /** Multiplies in float16, sums in float32. */
        FLOAT16_SUMS_FLOAT32(CompiledModel.GpuOptions.Precision.FP16_WITH_FP32_ACCUM),
    }

    /** Against the other work of the GPU, drawing included. */
    enum class Priority(internal val litert: CompiledModel.GpuOptions.Priority) {
        DEFAULT(CompiledModel.GpuOptions.Priority.DEFAULT),
        LOW(CompiledModel.GpuOptions.Priority.LOW),
        NORMAL(CompiledModel.GpuOptions.Priority.NORMAL),
        HIGH(CompiledModel.GpuOptions.Priority.HIGH),
    }

    /**
     * How to run the model.
     *
     * @property programCache folder for the GPU's compiled programs, so that later starts are
     *   quicker: `context.codeCacheDir` is one that Android empties when it must; null for none
     * @property warmUpRuns runs within [create]: the first ones are slow, and a GPU that compiles
     *   the model but cannot run it shows there
     * @property cpuThreads of the CPU; null leaves it to LiteRT
     */
    data class Options @JvmOverloads constructor(
        val use: Use = Use.GPU_OR_CPU,
        val precision: Precision = Precision.FLOAT32,
        val priority: Priority = Priority.DEFAULT,
        val programCache: File? = null,
        val warmUpRuns: Int = 1,
        val cpuThreads: Int? = null,
    )

    /**
     * Why the model runs on the CPU.
     *
     * @property reason one line to log or to show, with what to try
     * @property cause the error of LiteRT
     */
    class Fallback(val reason: String, val cause: Throwable)

    /** Is told, during [create] and on its thread, that the model will run on the CPU. */
    fun interface FallbackListener {
        fun onFallback(fallback: Fallback)
    }

    @{output_class}

    @{label_class}

    @{labels_property}

    private val inputBuffers = mutableMapOf<String, TensorBuffer>()
    private val outputBuffers = mutableMapOf<String, TensorBuffer>()
    private val busy = AtomicBoolean(false)
    private var closed = false

    /**
     * Runs the model once and waits for the result.
     *
    @{run_doc}
     * @throws IllegalArgumentException for @{bad_argument}
     * @throws IllegalStateException after [close], or during another call
     * @throws @{class}Exception where LiteRT fails
     */
    @{run}

    /** Runs the model [runs] times on zeros, so that the next run takes its usual time. */
    fun warmUp(runs: Int = 1) {
        @{warm_up}
    }

    @{top}

    /** Frees the model and its memory, on the GPU too. A second call does nothing. */
    override fun close() = alone {
        if (!closed) {
            closed = true
            closeBuffers()
            compiled.close()
            environment.close()
        }
    }

    private fun createBuffers() {
        for (name in INPUTS) {
            inputBuffers[name] = compiled.createInputBuffer(name, SIGNATURE)
        }
        for (name in OUTPUTS) {
            outputBuffers[name] = compiled.createOutputBuffer(name, SIGNATURE)
        }
    }

    private fun closeBuffers() {
        (inputBuffers.values + outputBuffers.values).forEach { it.close() }
    }

    private inline fun <T> calling(body: () -> T): T = alone {
        check(!closed) { "$NAME is closed" }
        try {
            body()
        } catch (error: LiteRtException) {
            throw @{class}Exception(
                "$NAME did not run on the $accelerator: ${error.message}" + when (accelerator) {
                    Accelerator.GPU -> "; close it and create it with Use.CPU if that stays so"
                    Accelerator.CPU -> ""
                },
                error,
            )
        }
    }

    private inline fun <T> alone(body: () -> T): T {
        check(busy.compareAndSet(false, true)) {
            "$NAME is in another call: call it from one thread, or give each thread its own"
        }
        try {
            return body()
        } finally {
            busy.set(false)
        }
    }

    companion object {
        private const val NAME = @{name}
        private const val TAG = @{tag}
        private const val ASSET = @{asset}
        private const val SIGNATURE = @{signature}
        @{input_names}
        @{output_names}

        // Programs compiled for another model or precision are not to be taken for these.
        private const val CACHE_KEY = @{cache_key}
        @{constants}

        /**
         * Loads and compiles the model and runs it for the first time; see the class for the thread
         * to do it on.
         *
         * @throws @{class}Exception where nothing that [Options.use] allows runs the model
         */
        @JvmStatic
        @JvmOverloads
        @Throws(@{class}Exception::class)
        fun create(
            context: Context,
            options: Options = Options(),
            listener: FallbackListener? = null,
        ): @{class} {
            val environment = try {
                Environment.create()
            } catch (error: LiteRtException) {
                throw @{class}Exception("LiteRT does not start: ${error.message}", error)
            } catch (error: LinkageError) {
                throw @{class}Exception(
                    "LiteRT has no library for this phone's processor: ${error.message}",
                    error,
                )
            }
            try {
                return choose(context, options, environment, listener)
            } catch (error: Throwable) {
                environment.close()
                throw error
            }
        }

        private fun choose(
            context: Context,
            options: Options,
            environment: Environment,
            listener: FallbackListener?,
        ): @{class} {
            if (options.use == Use.CPU) {
                return onCpu(context, options, environment, null)
            }
            val fallback = try {
                return open(context, options, environment, Accelerator.GPU, null)
            } catch (error: LiteRtException) {
                Fallback(whyNotGpu(environment, error), error)
            } catch (error: @{class}Exception) {
                Fallback("it compiled, but ${error.message}", error)
            }
            if (options.use == Use.GPU) {
                throw @{class}Exception(fallback.reason, fallback.cause)
            }
            Log.w(TAG, "$NAME runs on the CPU: ${fallback.reason}", fallback.cause)
            listener?.onFallback(fallback)
            return onCpu(context, options, environment, fallback)
        }

        private fun onCpu(
            context: Context,
            options: Options,
            environment: Environment,
            fallback: Fallback?,
        ): @{class} = try {
            open(context, options, environment, Accelerator.CPU, fallback)
        } catch (error: LiteRtException) {
            throw @{class}Exception(
                "$NAME does not compile for the CPU: ${error.message}",
                error,
            )
        }

        private fun open(
            context: Context,
            options: Options,
            environment: Environment,
            accelerator: Accelerator,
            fallback: Fallback?,
        ): @{class} {
            val asked = when (accelerator) {
                Accelerator.GPU -> gpu(options)
                Accelerator.CPU -> cpu(options)
            }
            val compiled = CompiledModel.create(context.assets, ASSET, asked, environment)
            var model: @{class}? = null
            try {
                model = @{class}(
                    environment,
                    compiled,
                    accelerator,
                    fallback,
                    @{labels_argument}
                )
                model.createBuffers()
                model.warmUp(options.warmUpRuns)
                return model
            } catch (error: Throwable) {
                model?.closeBuffers()
                compiled.close()
                throw error
            }
        }

        private fun gpu(options: Options): CompiledModel.Options {
            options.programCache?.mkdirs()
            return CompiledModel.Options(LiteRtAccelerator.GPU).apply {
                gpuOptions = CompiledModel.GpuOptions(
                    precision = options.precision.litert,
                    priority = options.priority.litert,
                    serializationDir = options.programCache?.absolutePath,
                    modelCacheKey = options.programCache?.let { "$CACHE_KEY-${options.precision}" },
                    serializeProgramCache = options.programCache?.let { true },
                )
            }
        }

        private fun cpu(options: Options) = CompiledModel.Options(LiteRtAccelerator.CPU).apply {
            cpuOptions = CompiledModel.CpuOptions(numThreads = options.cpuThreads)
        }

        private fun whyNotGpu(environment: Environment, error: LiteRtException): String {
            val found = try {
                environment.getAvailableAccelerators()
            } catch (ignored: LiteRtException) {
                emptySet()
            }
            return if (LiteRtAccelerator.GPU in found) {
                "the GPU does not take all of $NAME: ${error.message}"
            } else {
                "LiteRT finds no GPU: is com.google.ai.edge.litert:litert-gpu:@{litert} in the app, " +
                    "and has the phone OpenCL or OpenGL ES 3.1? (${error.message})"
            }
        }

        @{helpers}
    }
}

/** [@{class}] cannot be created or run; the message says why and what to try. */
class @{class}Exception(message: String, cause: Throwable) : Exception(message, cause)
