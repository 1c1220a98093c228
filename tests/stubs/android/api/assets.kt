package android.content.res

import java.io.File
import java.io.InputStream

/** The assets of a module: a folder here. */
class AssetManager(private val folder: File) {
    fun open(name: String): InputStream = File(folder, name).inputStream()
}
