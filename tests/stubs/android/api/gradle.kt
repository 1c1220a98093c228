/* What a module's build file names of Gradle, of the Android plugin and of Kotlin's. */

package gradle

import org.jetbrains.kotlin.gradle.tasks.KotlinJvmCompile

@DslMarker
annotation class Dsl

@Dsl
class Plugins {
    fun id(name: String) {}
}

class Extensions {
    fun findByName(name: String): Any? = null
}

class DefaultConfig {
    var minSdk: Int? = null
    var testInstrumentationRunner: String? = null

    fun consumerProguardFiles(vararg files: Any) {}
}

class AndroidResources {
    val noCompress: MutableCollection<String> = mutableListOf()
}

enum class JavaVersion { VERSION_11, VERSION_17 }

class CompileOptions {
    var sourceCompatibility = JavaVersion.VERSION_11
    var targetCompatibility = JavaVersion.VERSION_11
}

class Android {
    var namespace: String? = null
    var compileSdk: Int? = null

    fun defaultConfig(block: DefaultConfig.() -> Unit) {}

    fun androidResources(block: AndroidResources.() -> Unit) {}

    fun compileOptions(block: CompileOptions.() -> Unit) {}
}

class Tasks {
    inline fun <reified T> withType(): TaskCollection<T> = TaskCollection()
}

class TaskCollection<T> {
    fun configureEach(block: T.() -> Unit) {}
}

class Dependencies {
    fun implementation(notation: String) {}

    fun androidTestImplementation(notation: String) {}
}

class Project {
    val extensions = Extensions()
    val tasks = Tasks()

    fun plugins(block: Plugins.() -> Unit) {}

    fun apply(plugin: String) {}

    fun android(block: Android.() -> Unit) {}

    fun dependencies(block: Dependencies.() -> Unit) {}
}
