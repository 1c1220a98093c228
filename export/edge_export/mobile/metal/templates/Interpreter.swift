import Foundation
import TensorFlowLiteC

#if canImport(TensorFlowLiteCMetal)
import TensorFlowLiteCMetal
#endif

#if canImport(Metal)
import Metal
#endif

/// One input or output, as the model file has it.
struct TensorPort {
    /// What it is called in this package.
    let name: String
    /// What the tensor is called in the model file.
    let tensor: String
    let type: TfLiteType
    let shape: [Int]
    /// Bytes of one value.
    let elementSize: Int

    var count: Int { return shape.reduce(1, *) }
    var byteCount: Int { return count * elementSize }
}

/// What TensorFlow Lite says while a model is loaded and run. Its C interface has no other way to
/// tell which operators a delegate refused, and its Swift interface prints it where no app sees it.
final class RuntimeLog {
    private var lines: [String] = []

    /// All that was said since `clear`, without blank lines.
    var text: String { return lines.joined(separator: "\n") }

    func clear() {
        lines.removeAll()
    }

    func add(_ message: String) {
        lines += message.split(separator: "\n").map(String.init)
    }

    /// How the operators were shared out between GPU and CPU, or nil if nothing was said of it:
    /// then the delegate refused none.
    var split: (gpu: Int, cpu: Int)? {
        let pattern = "(\\d+|No) operations will run on the GPU, and "
            + "(?:the remaining|all) (\\d+) operations will run on the CPU"
        guard let expression = try? NSRegularExpression(pattern: pattern),
            let match = expression.firstMatch(
                in: text, range: NSRange(text.startIndex..., in: text)),
            let gpu = Range(match.range(at: 1), in: text),
            let cpu = Range(match.range(at: 2), in: text)
        else {
            return nil
        }
        return (Int(text[gpu]) ?? 0, Int(text[cpu]) ?? 0)
    }

    /// Whether a delegate complained of operators at all, in words that `split` may not know.
    var mentionsRefusals: Bool { return text.contains("not supported by GPU delegate") }
}

/// A Metal delegate. It must outlive every interpreter that was made with it.
final class MetalHandle {
    /// Why Metal is not tried here, or nil where it is.
    static var obstacle: String? {
        #if targetEnvironment(simulator)
        return "this is the iOS simulator, whose GPU is the Mac's: Metal is used on devices only"
        #elseif !canImport(TensorFlowLiteCMetal)
        return "this app is built without TensorFlowLiteCMetal (the pod's subspec Metal)"
        #elseif canImport(Metal)
        return MTLCreateSystemDefaultDevice() == nil ? "this device has no Metal GPU" : nil
        #else
        return nil
        #endif
    }

    #if canImport(TensorFlowLiteCMetal)
    let delegate: UnsafeMutablePointer<TfLiteDelegate>

    init?(_ options: @{Class}.MetalOptions) {
        var settings = TFLGpuDelegateOptions()
        settings.allow_precision_loss = options.isPrecisionLossAllowed
        settings.enable_quantization = options.isQuantizationEnabled
        switch options.waitType {
        case .passive: settings.wait_type = TFLGpuDelegateWaitTypePassive
        case .active: settings.wait_type = TFLGpuDelegateWaitTypeActive
        case .aggressive: settings.wait_type = TFLGpuDelegateWaitTypeAggressive
        }
        guard let delegate = TFLGpuDelegateCreate(&settings) else { return nil }
        self.delegate = delegate
    }

    deinit {
        TFLGpuDelegateDelete(delegate)
    }

    func add(to options: OpaquePointer) {
        TfLiteInterpreterOptionsAddDelegate(options, delegate)
    }
    #else
    init?(_ options: @{Class}.MetalOptions) {
        return nil
    }

    func add(to options: OpaquePointer) {}
    #endif
}

/// A loaded model with memory for its tensors. Not thread-safe.
final class ModelInterpreter {
    private typealias Failure = @{Class}.Failure

    let log: RuntimeLog
    private let inputs: [TensorPort]
    private let outputs: [TensorPort]
    private let model: OpaquePointer
    private let interpreter: OpaquePointer
    private let metal: MetalHandle?

    /// Loads a model file.
    ///
    /// - Parameter metal: The delegate that is to run it, nil for the CPU alone.
    /// - Throws: `Failure.modelUnreadable`, `.refused` when no interpreter can be made or its
    ///   memory is not to be had, `.modelUnexpected` for a file with other inputs or outputs.
    init(
        path: String,
        inputs: [TensorPort],
        outputs: [TensorPort],
        metal: MetalHandle?,
        threadCount: Int?
    ) throws {
        let log = RuntimeLog()
        guard let model = TfLiteModelCreateFromFile(path) else {
            throw Failure.modelUnreadable(path: path)
        }
        guard
            let interpreter = ModelInterpreter.makeInterpreter(
                of: model, log: log, metal: metal, threadCount: threadCount)
        else {
            TfLiteModelDelete(model)
            throw Failure.refused(log: log.text)
        }
        self.log = log
        self.inputs = inputs
        self.outputs = outputs
        self.model = model
        self.interpreter = interpreter
        self.metal = metal
        try checkPorts()
    }

    deinit {
        TfLiteInterpreterDelete(interpreter)
        TfLiteModelDelete(model)
    }

    /// Copies one input's values in.
    func write<Element>(_ values: [Element], toInput index: Int) throws {
        let port = inputs[index]
        guard values.count == port.count else {
            throw Failure.wrongCount(
                name: port.name, given: values.count, expected: port.count, shape: port.shape)
        }
        let tensor = TfLiteInterpreterGetInputTensor(interpreter, Int32(index))
        let status = values.withUnsafeBytes {
            TfLiteTensorCopyFromBuffer(tensor, $0.baseAddress, $0.count)
        }
        guard status == kTfLiteOk else {
            throw Failure.modelUnexpected("input \(port.name) cannot be written")
        }
    }

    /// Runs one inference on what was written.
    func invoke() throws {
        log.clear()
        guard TfLiteInterpreterInvoke(interpreter) == kTfLiteOk else {
            throw Failure.runFailed(log: log.text)
        }
    }

    /// The values of one output of the last inference.
    func read<Element>(_ type: Element.Type, fromOutput index: Int) throws -> [Element] {
        let port = outputs[index]
        let tensor = TfLiteInterpreterGetOutputTensor(interpreter, Int32(index))
        var status = kTfLiteError
        let values = [Element](unsafeUninitializedCapacity: port.count) { buffer, count in
            status = TfLiteTensorCopyToBuffer(tensor, buffer.baseAddress, port.byteCount)
            count = status == kTfLiteOk ? port.count : 0
        }
        guard status == kTfLiteOk else {
            throw Failure.modelUnexpected("output \(port.name) cannot be read")
        }
        return values
    }

    private static func makeInterpreter(
        of model: OpaquePointer, log: RuntimeLog, metal: MetalHandle?, threadCount: Int?
    ) -> OpaquePointer? {
        guard let options = TfLiteInterpreterOptionsCreate() else { return nil }
        defer { TfLiteInterpreterOptionsDelete(options) }
        // The log lives as long as the interpreter: `ModelInterpreter` holds both.
        TfLiteInterpreterOptionsSetErrorReporter(
            options,
            { userData, format, arguments in
                // Depending on the processor, Swift sees the list as optional or not.
                let list: CVaListPointer? = arguments
                guard let userData = userData, let format = format, let list = list else { return }
                var buffer = [CChar](repeating: 0, count: 16_384)
                vsnprintf(&buffer, buffer.count, format, list)
                let log = Unmanaged<RuntimeLog>.fromOpaque(userData).takeUnretainedValue()
                log.add(String(cString: buffer))
            },
            Unmanaged.passUnretained(log).toOpaque())
        if let threadCount = threadCount {
            TfLiteInterpreterOptionsSetNumThreads(options, Int32(threadCount))
        }
        metal?.add(to: options)
        guard let interpreter = TfLiteInterpreterCreate(model, options) else { return nil }
        guard TfLiteInterpreterAllocateTensors(interpreter) == kTfLiteOk else {
            TfLiteInterpreterDelete(interpreter)
            return nil
        }
        return interpreter
    }

    private func checkPorts() throws {
        let found = (
            TfLiteInterpreterGetInputTensorCount(interpreter),
            TfLiteInterpreterGetOutputTensorCount(interpreter)
        )
        guard found == (Int32(inputs.count), Int32(outputs.count)) else {
            throw Failure.modelUnexpected(
                "it has \(found.0) inputs and \(found.1) outputs, not \(inputs.count) and "
                    + "\(outputs.count)")
        }
        for (index, port) in inputs.enumerated() {
            let tensor = TfLiteInterpreterGetInputTensor(interpreter, Int32(index))
            try check(port, tensor.map { UnsafePointer($0) }, "input")
        }
        for (index, port) in outputs.enumerated() {
            try check(port, TfLiteInterpreterGetOutputTensor(interpreter, Int32(index)), "output")
        }
    }

    private func check(
        _ port: TensorPort, _ tensor: UnsafePointer<TfLiteTensor>?, _ kind: String
    ) throws {
        let name = TfLiteTensorName(tensor).map { String(cString: $0) } ?? ""
        guard
            name == port.tensor,
            TfLiteTensorType(tensor) == port.type,
            TfLiteTensorByteSize(tensor) == port.byteCount
        else {
            throw Failure.modelUnexpected(
                "\(kind) \(port.name) should be tensor \"\(port.tensor)\" of \(port.byteCount) "
                    + "bytes, and is \"\(name)\" of \(TfLiteTensorByteSize(tensor)) bytes")
        }
    }
}
