// swift-tools-version:5.9
import PackageDescription

// Google publishes TensorFlow Lite with its Metal delegate as a CocoaPod, not as a Swift package.
// The two frameworks of that pod go into Frameworks/; README.md says how.
let package = Package(
    name: "@{Module}",
    platforms: [.iOS(.v12)],
    products: [
        .library(
            name: "@{Module}",
            targets: ["@{Module}"]
        )
    ],
    targets: [
        .target(
            name: "@{Module}",
            dependencies: ["TensorFlowLiteC", "TensorFlowLiteCMetal"],
            resources: [.copy("Resources/@{File}")],
            linkerSettings: [
                .linkedLibrary("c++"),
                .linkedFramework("Metal"),
            ]
        ),
        .binaryTarget(
            name: "TensorFlowLiteC",
            path: "Frameworks/TensorFlowLiteC.xcframework"
        ),
        .binaryTarget(
            name: "TensorFlowLiteCMetal",
            path: "Frameworks/TensorFlowLiteCMetal.xcframework"
        ),
        .testTarget(
            name: "@{Module}Tests",
            dependencies: ["@{Module}"]@{testResources}
        ),
    ]
)
