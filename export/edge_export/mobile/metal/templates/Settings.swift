import Foundation

extension @{Class} {
    /// Where the model may run.
    public enum Placement: Equatable {
        /// All of it on the GPU; where the GPU does not take it all, all of it on the CPU, and
        /// `fallback` says why.
        case gpuOrCPU
        /// On the GPU as far as that takes it, the rest on the CPU; `fallback` says what and why.
@{shared}
        case shared
        /// All of it on the GPU; else loading throws `Failure.gpuRefused`.
        case gpu
        /// All of it on the CPU.
        case cpu
    }

    /// Where the model runs.
    public enum Accelerator: Equatable {
        /// Every operator runs on the GPU.
        case gpu
        /// Some operators run on the GPU and the others on the CPU (`Placement.shared` only).
        case gpuAndCPU
        /// Every operator runs on the CPU.
        case cpu
    }

    /// How a thread waits for the GPU.
    public enum WaitType: Equatable {
        /// It sleeps until the work is done.
        case passive
        /// It spins: less latency, more work for the CPU.
        case active
        /// It spins, and the GPU is kept from going to sleep between inferences. Costs battery.
        case aggressive
    }

    /// Options of the Metal delegate.
    public struct MetalOptions: Equatable {
@{precision}
        public var isPrecisionLossAllowed = false
        /// How a thread waits for the GPU.
        public var waitType = WaitType.passive
        /// Whether the GPU takes operators on 8-bit integers. It computes them in floating point.
        public var isQuantizationEnabled = true

        public init() {}
    }

    /// How the model is loaded.
    public struct Options: Equatable {
        public var placement = Placement.gpuOrCPU
        /// Options of the Metal delegate.
        public var metal = MetalOptions()
        /// Threads for operators on the CPU; nil lets TensorFlow Lite decide.
        public var threadCount: Int?

        public init() {}
    }

    /// What can go wrong. `errorDescription` says what did, `recoverySuggestion` what to try.
    public enum Failure: Error, Equatable {
        /// There is no model file at `path`, or none in the bundle.
        case modelMissing(path: String)
        /// The file is no TensorFlow Lite model.
        case modelUnreadable(path: String)
        /// The file is another model than this class was made for.
        case modelUnexpected(String)
        /// TensorFlow Lite cannot run the model; `log` holds its words.
        case refused(log: String)
        /// The GPU does not take the whole model, and `Placement.gpu` was asked for.
        case gpuRefused(reason: String)
        /// An input has too few or too many values.
        case wrongCount(name: String, given: Int, expected: Int, shape: [Int])
        /// A quantized input was given NaN.
        case notANumber(name: String, index: Int)
        /// An inference failed; `log` holds TensorFlow Lite's words.
        case runFailed(log: String)
        /// `close` was called before.
        case closed
    }
}

extension @{Class}.Failure: LocalizedError {
    public var errorDescription: String? {
        switch self {
        case .modelMissing(let path):
            return "There is no model file at \(path)."
        case .modelUnreadable(let path):
            return "\(path) is no TensorFlow Lite model."
        case .modelUnexpected(let difference):
            return "This is another model than this package was made for: \(difference)."
        case .refused(let log):
            return "TensorFlow Lite cannot run the model: \(log)"
        case .gpuRefused(let reason):
            return "The GPU does not take the whole model: \(reason)"
        case .wrongCount(let name, let given, let expected, let shape):
            return "Input \(name) takes \(expected) values, shape \(shape), and was given \(given)."
        case .notANumber(let name, let index):
            return "Value \(index) of input \(name) is NaN."
        case .runFailed(let log):
            return "The inference failed: \(log)"
        case .closed:
            return "The model is closed."
        }
    }

    public var recoverySuggestion: String? {
        switch self {
        case .modelMissing:
            return "Copy the package's .tflite file into the app, or pass its URL as modelURL."
        case .modelUnreadable, .modelUnexpected:
            return "Take the .tflite file of this package, or export the model again."
        case .refused:
            return "Use the version of TensorFlow Lite that the package names."
        case .gpuRefused:
            return "Load with Placement.gpuOrCPU, or export a variant that the GPU takes."
        case .wrongCount:
            return "Give every value, in row-major order."
        case .notANumber:
            return "Look at what computes the input; no integer stands for NaN."
        case .runFailed:
            return "Load again with Placement.cpu."
        case .closed:
            return "Make a new @{Class}."
        }
    }
}
