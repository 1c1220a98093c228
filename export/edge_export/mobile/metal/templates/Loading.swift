import Foundation

/// A model that is ready, and how it came to run where it does.
struct Loaded {
    private typealias Failure = @{Class}.Failure

    let interpreter: ModelInterpreter
    let accelerator: @{Class}.Accelerator
    /// Why not everything runs on the GPU; nil where it does or was not asked to.
    let fallback: String?

    /// Loads the model on the GPU, and on the CPU where that fails and may stand in.
    ///
    /// - Parameter probe: Runs one inference. A GPU that fails at it does not get the model, and
    ///   the first inference of the app does not pay for what is set up late.
    init(
        path: String,
        inputs: [TensorPort],
        outputs: [TensorPort],
        options: @{Class}.Options,
        probe: (ModelInterpreter) throws -> Void
    ) throws {
        func load(_ metal: MetalHandle?) throws -> ModelInterpreter {
            return try ModelInterpreter(
                path: path, inputs: inputs, outputs: outputs, metal: metal,
                threadCount: options.threadCount)
        }

        if options.placement == .cpu {
            self.init(interpreter: try load(nil), accelerator: .cpu, fallback: nil)
            return
        }
        let reason: String
        do {
            let (interpreter, refusals) = try Loaded.onGPU(options.metal, load, probe)
            guard let refused = refusals else {
                self.init(interpreter: interpreter, accelerator: .gpu, fallback: nil)
                return
            }
            if options.placement == .shared {
                self.init(interpreter: interpreter, accelerator: .gpuAndCPU, fallback: refused)
                return
            }
            reason = refused
        } catch Failure.refused(let log) {
            reason = log
        } catch Failure.runFailed(let log) {
            reason = log
        } catch let obstacle as Obstacle {
            reason = obstacle.reason
        }
        if options.placement == .gpu {
            throw Failure.gpuRefused(reason: reason)
        }
        self.init(interpreter: try load(nil), accelerator: .cpu, fallback: reason)
    }

    private init(
        interpreter: ModelInterpreter,
        accelerator: @{Class}.Accelerator,
        fallback: String?
    ) {
        self.interpreter = interpreter
        self.accelerator = accelerator
        self.fallback = fallback
    }

    /// Why the GPU takes nothing at all.
    private struct Obstacle: Error {
        let reason: String
    }

    /// The model on the GPU, with what it said of operators that it leaves to the CPU.
    private static func onGPU(
        _ options: @{Class}.MetalOptions,
        _ load: (MetalHandle?) throws -> ModelInterpreter,
        _ probe: (ModelInterpreter) throws -> Void
    ) throws -> (ModelInterpreter, refusals: String?) {
        if let reason = MetalHandle.obstacle {
            throw Obstacle(reason: reason)
        }
        guard let metal = MetalHandle(options) else {
            throw Obstacle(reason: "TensorFlow Lite made no Metal delegate")
        }
        let interpreter = try load(metal)
        let said = interpreter.log.text
        let split = interpreter.log.split
        let refuses = interpreter.log.mentionsRefusals
        if let split = split, split.gpu == 0 {
            throw Obstacle(reason: said)
        }
        try probe(interpreter)
        // The operators that unpack float16 weights are listed as refused although they vanish
        // into those that use them: the number left to the CPU decides.
        let whole = split.map { $0.cpu == 0 } ?? !refuses
        return (interpreter, whole ? nil : said)
    }
}
