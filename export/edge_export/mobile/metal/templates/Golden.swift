    /// The GPU's result against the CPU's, which was computed where the package was exported.
    func testGPUAgreesWithTheReference() throws {
        let model = try @{Class}()
        try XCTSkipIf(model.accelerator == .cpu, model.fallback ?? "")
        let output = try model.run(
            @{Class}.Input(
@{arguments}
            ))
@{comparisons}
    }

    private func golden<Element>(_ name: String, as type: Element.Type) throws -> [Element] {
        #if SWIFT_PACKAGE
        let bundle = Bundle.module
        #else
        let bundle = Bundle(for: @{Class}Tests.self)
        #endif
        let url = try XCTUnwrap(
            bundle.url(forResource: name, withExtension: "bin", subdirectory: "Golden")
                ?? bundle.url(forResource: name, withExtension: "bin"))
        let data = try Data(contentsOf: url)
        let size = MemoryLayout<Element>.stride
        // Copied: the bytes of a short file need not lie as an Element has to.
        return [Element](unsafeUninitializedCapacity: data.count / size) { buffer, count in
            count = data.copyBytes(to: buffer) / size
        }
    }

    /// Asserts that no value is further off than `tolerance`; NaN is no agreement.
    private func assertClose(_ found: [Double], _ expected: [Double], within tolerance: Double) {
        XCTAssertEqual(found.count, expected.count)
        let differences = zip(found, expected).map { abs($0 - $1) }
        if let worst = differences.first(where: { $0.isNaN }) ?? differences.max() {
            XCTAssertTrue(worst <= tolerance, "off by \(worst), \(tolerance) allowed")
        }
    }
