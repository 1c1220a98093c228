package android.content

import android.content.res.AssetManager
import java.io.File

open class Context(val assets: AssetManager) {
    val codeCacheDir: File get() = File("code_cache")
    val cacheDir: File get() = File("cache")
}
