package org.jetbrains.kotlin.gradle.tasks

import org.jetbrains.kotlin.gradle.dsl.JvmTarget

class Property<T> {
    fun set(value: T) {}
}

class CompilerOptions {
    val jvmTarget = Property<JvmTarget>()
}

interface KotlinJvmCompile {
    val compilerOptions: CompilerOptions
}
