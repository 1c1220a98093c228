/// Between the numbers of an app and those that a tensor stores.
enum TensorCoding {
    /// Real numbers as a quantized tensor's integers: divided in float32, rounded to nearest with
    /// halves away from zero, clamped to the type, as TensorFlow Lite's QUANTIZE does.
    ///
    /// - Throws: `Failure.notANumber` for NaN, which no integer stands for.
    static func quantized<Stored: FixedWidthInteger>(
        _ values: [Float], as type: Stored.Type, scale: Float, zeroPoint: Int, name: String
    ) throws -> [Stored] {
        let least = Double(Stored.min)
        let most = Double(Stored.max)
        var result: [Stored] = []
        result.reserveCapacity(values.count)
        for (index, value) in values.enumerated() {
            guard !value.isNaN else {
                throw @{Class}.Failure.notANumber(name: name, index: index)
            }
            let rounded = Double((value / scale).rounded()) + Double(zeroPoint)
            result.append(Stored(min(max(rounded, least), most)))
        }
        return result
    }

    /// The real numbers that a quantized tensor's integers stand for.
    static func real<Stored: FixedWidthInteger>(
        _ values: [Stored], scale: Float, zeroPoint: Int
    ) -> [Float] {
        return values.map { Float((Double($0) - Double(zeroPoint)) * Double(scale)) }
    }

    /// float16 as its bits, rounded to nearest even. Swift's own `Float16` needs iOS 14.
    static func halves(_ values: [Float]) -> [UInt16] {
        return values.map(half)
    }

    /// The numbers that float16 bits stand for, exactly.
    static func floats(_ halves: [UInt16]) -> [Float] {
        return halves.map(float)
    }

    private static func half(_ value: Float) -> UInt16 {
        let sign = UInt16(value.bitPattern >> 16) & 0x8000
        let magnitude = value.bitPattern & 0x7FFF_FFFF
        if magnitude > 0x7F80_0000 {
            return sign | 0x7E00  // NaN
        }
        if magnitude >= 0x477F_F000 {
            return sign | 0x7C00  // from 65520 on, the nearest is infinity
        }
        if magnitude < 0x3880_0000 {
            // Below 2^-14 float16 counts in steps of 2^-24.
            let steps = Float(bitPattern: magnitude) * 16_777_216
            return sign | UInt16(steps.rounded(.toNearestOrEven))
        }
        let rounded = magnitude + 0xFFF + ((magnitude >> 13) & 1)
        return sign | UInt16((rounded - (112 << 23)) >> 13)
    }

    private static func float(_ half: UInt16) -> Float {
        let sign: Float = half & 0x8000 == 0 ? 1 : -1
        let exponent = UInt32(half >> 10) & 0x1F
        let fraction = UInt32(half) & 0x3FF
        switch exponent {
        case 0:
            return sign * Float(fraction) / 16_777_216
        case 0x1F:
            return fraction == 0 ? sign * .infinity : .nan
        default:
            return sign * Float(bitPattern: (exponent + 112) << 23 | fraction << 13)
        }
    }
}
