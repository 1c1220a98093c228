/*
 * What the generated class writes for real numbers and reads for stored ones. Arguments: the assets'
 * folder, a file of little-endian float32, and the files to write: the bytes that went in, and the
 * floats that came out for the bytes 0 to 255.
 */

package checks

import android.content.Context
import android.content.res.AssetManager
import com.google.ai.edge.litert.Phone
import edgeautoglm.signed_scale.SignedScale
import edgeautoglm.unsigned_scale.UnsignedScale
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder

object Quantization {
    @JvmStatic
    fun main(arguments: Array<String>) {
        val (assets, values, signedIn, signedOut) = arguments
        val context = Context(AssetManager(File(assets)))
        val raw = ByteBuffer.wrap(File(values).readBytes()).order(ByteOrder.LITTLE_ENDIAN)
        val floats = FloatArray(raw.capacity() / 4) { raw.getFloat(4 * it) }
        Phone.reset()
        Phone.inputs = mapOf("x" to floats.size)
        Phone.outputs = mapOf("y" to 256)
        var written = byteArrayOf()
        Phone.compute = { inputs, outputs ->
            written = inputs.getValue("x").array().copyOf()
            for (each in 0..255) outputs.getValue("y").put(each, each.toByte())
        }
        SignedScale.create(context).use { save(it.run(floats), signedOut) }
        File(signedIn).writeBytes(written)
        UnsignedScale.create(context).use { save(it.run(floats), arguments[5]) }
        File(arguments[4]).writeBytes(written)
        SignedScale.create(context).use { model ->
            floats[7] = Float.NaN
            println(runCatching { model.run(floats) }.exceptionOrNull())
        }
    }

    private fun save(floats: FloatArray, path: String) {
        val bytes = ByteBuffer.allocate(4 * floats.size).order(ByteOrder.LITTLE_ENDIAN)
        floats.forEach { bytes.putFloat(it) }
        File(path).writeBytes(bytes.array())
    }
}
