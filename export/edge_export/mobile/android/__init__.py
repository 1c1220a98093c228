"""An Android package: a Gradle library module whose one class runs the model on the GPU, or on the
CPU and says why. Written for LiteRT 2.3's Kotlin API (`CompiledModel`)."""

from edge_export.mobile.android.module import write_android as write_android
