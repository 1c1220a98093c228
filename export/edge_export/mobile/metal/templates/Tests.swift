import XCTest

@testable import @{Module}

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
        print(
            String(
                format: "@{Class} on %@: median %.3f ms, 95th percentile %.3f ms",
                String(describing: model.accelerator), milliseconds[50], milliseconds[95]))
    }
}
