import Foundation
import TensorFlowLiteC

@{about}
public final class @{Class} {
@{labels}
    /// Where the model runs.
    public let accelerator: Accelerator

    /// Why not everything runs on the GPU, in TensorFlow Lite's words; nil where everything does,
    /// and where `Placement.cpu` was asked for. Inference is slower than it should be then.
    public let fallback: String?

    private var interpreter: ModelInterpreter?

@{ports}

    /// Loads the model, on the GPU first, and runs it once on zeros.
    ///
    /// This compiles the GPU's programs and takes far longer than an inference: do it once, not on
    /// the main thread.
    ///
    /// - Parameters:
    ///   - options: Where and how it runs.
    ///   - modelURL: The model file; the one in this package's bundle when nil.
    /// - Throws: `Failure`.
    public init(options: Options = Options(), modelURL: URL? = nil) throws {
        let path = modelURL?.path ?? Self.bundledPath ?? "@{File}"
        guard FileManager.default.fileExists(atPath: path) else {
            throw Failure.modelMissing(path: path)
        }
        let loaded = try Loaded(
            path: path, inputs: Self.inputs, outputs: Self.outputs, options: options,
            probe: { _ = try Self.run(Input.zeros, on: $0) })
        interpreter = loaded.interpreter
        accelerator = loaded.accelerator
        fallback = loaded.fallback
        if let reason = loaded.fallback {
            NSLog("%@", "@{Class} is not all on the GPU: \(reason)")
        }
    }

    /// Runs one inference and waits for its result.
    ///
    /// - Parameter input: The input values.
    /// - Returns: The output values.
    /// - Throws: `Failure.wrongCount`, `.notANumber`, `.runFailed`, `.closed`.
    public func run(_ input: Input) throws -> Output {
        guard let interpreter = interpreter else { throw Failure.closed }
        return try Self.run(input, on: interpreter)
    }

    /// Runs inferences on zeros and throws their results away, so that the next one is at speed.
    ///
    /// - Parameter runs: How many.
    /// - Throws: `Failure.runFailed`, `.closed`.
    public func warmUp(runs: Int = 1) throws {
        for _ in 0..<runs {
            _ = try run(Input.zeros)
        }
    }

    /// Gives the model's memory and GPU resources back now rather than with the last reference.
    /// Further inferences throw `Failure.closed`.
    public func close() {
        interpreter = nil
    }

@{run}

    private static var bundledPath: String? {
        #if SWIFT_PACKAGE
        return Bundle.module.path(forResource: "@{stem}", ofType: "tflite")
        #else
        let bundle = Bundle(for: Self.self)
        let resources = bundle.url(
            forResource: "@{Module}", withExtension: "bundle")
        return (resources.flatMap(Bundle.init(url:)) ?? bundle)
            .path(forResource: "@{stem}", ofType: "tflite")
        #endif
    }
}

extension @{Class} {
@{structs}
}
