import XCTest

import @{Module}

final class @{Class}Tests: XCTestCase {
    func testLoadsAndSaysWhereItRuns() throws {
        let model = try @{Class}()
        print("@{Class} runs on: \(model.accelerator)")
        #if targetEnvironment(simulator)
        XCTAssertEqual(model.accelerator, .cpu)
        XCTAssertNotNil(model.fallback)
        #else
        // What is expected of the delegate; where a phone differs, `fallback` says why.
        XCTAssertEqual(model.accelerator, .@{expected}, model.fallback ?? "")
        #endif
    }

    func testEveryOutputHasItsSize() throws {
        let output = try @{Class}().run(.zeros)
@{sizes}
    }

    func testAnInputOfAnotherSizeIsRefused() throws {
        let model = try @{Class}()
        var input = @{Class}.Input.zeros
        input.@{first}.removeLast()
        XCTAssertThrowsError(try model.run(input)) { error in
            guard case @{Class}.Failure.wrongCount = error else {
                return XCTFail("\(error)")
            }
        }
    }

    func testNothingRunsAfterClose() throws {
        let model = try @{Class}()
        model.close()
        XCTAssertThrowsError(try model.run(.zeros)) { error in
            XCTAssertEqual(error as? @{Class}.Failure, .closed)
        }
    }

@{golden}

    /// Prints median and 95th percentile of inferences, copying in and out included.
    func testLatency() throws {
        let model = try @{Class}()
        try model.warmUp(runs: 5)
        var milliseconds: [Double] = []
        for _ in 0..<100 {
            let start = DispatchTime.now().uptimeNanoseconds
            _ = try model.run(.zeros)
            milliseconds.append(Double(DispatchTime.now().uptimeNanoseconds - start) / 1e6)
        }
        milliseconds.sort()
        print("@{Class} on \(model.accelerator):")
        let figures = [milliseconds[50], milliseconds[95]].map { String(format: "%.3f", $0) }
        print("median \(figures[0]) ms, 95th percentile \(figures[1]) ms")
    }
}
