/* Runs a .tflite file through LiteRT's C API, as an app on a phone does:
 *
 *     litert_run LIBRARY FOLDER cpu|gpu|both MODEL INPUT...
 *
 * LIBRARY is libLiteRt.so, FOLDER where its accelerators lie, each INPUT a file with the bytes of
 * one input. Prints one line a fact, and one an output: its bytes as hex. The API comes in no
 * header with the library: what is used of it is declared here, from its documentation (LiteRT 2.3,
 * litert/c). Statuses are ints, 0 is good; all objects are opaque.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CPU = 1, GPU = 2 };              /* bits of a set of accelerators */
enum { OPTION_LIBRARY_FOLDER = 22 };    /* tag of an environment option */
enum { ANY_STRING = 8 };                /* type of its value */
enum { LOCK_READ = 0, LOCK_WRITE = 1 }; /* ways to lock a buffer */
enum { MOST = 16 };                     /* inputs or outputs */

typedef void *handle;

typedef struct {
    int tag;
    struct {
        int type;
        union {
            int64_t number;
            const char *text;
        } as;
    } value;
} option;

typedef struct {
    unsigned rank : 7;
    unsigned has_strides : 1;
    int32_t dimensions[8];
    uint32_t strides[8];
} layout;

typedef struct {
    int element;
    layout shape;
} tensor_type;

_Static_assert(sizeof(option) == 24, "size of an environment option");
_Static_assert(sizeof(tensor_type) == 72, "size of a tensor's type");

static void *library;

static void *symbol(const char *name)
{
    void *found = dlsym(library, name);
    if (found == NULL) {
        fprintf(stderr, "no %s in the library\n", name);
        exit(3);
    }
    return found;
}

/* A function of the library, by its name and the types of its arguments. */
#define API(name, ...) ((int (*)(__VA_ARGS__))symbol("LiteRt" #name))
#define DESTROY(name, object) (((void (*)(handle))symbol("LiteRtDestroy" #name))(object))

static void check(int status, const char *what)
{
    if (status != 0) {
        const char *(*words)(int) = (const char *(*)(int))dlsym(library, "LiteRtGetStatusString");
        printf("failed %s %d %s\n", what, status, words != NULL ? words(status) : "");
        exit(1);
    }
}

static handle buffer_for(handle environment, handle model, handle compiled, size_t index,
                         bool input)
{
    handle signature, tensor, needs, made;
    tensor_type type;
    check(API(GetModelSignature, handle, size_t, handle *)(model, 0, &signature), "signature");
    if (input) {
        check(API(GetSignatureInputTensorByIndex, handle, size_t, handle *)(signature, index,
                                                                            &tensor),
              "input");
        check(API(GetCompiledModelInputBufferRequirements, handle, size_t, size_t, handle *)(
                  compiled, 0, index, &needs),
              "input requirements");
    } else {
        check(API(GetSignatureOutputTensorByIndex, handle, size_t, handle *)(signature, index,
                                                                             &tensor),
              "output");
        check(API(GetCompiledModelOutputBufferRequirements, handle, size_t, size_t, handle *)(
                  compiled, 0, index, &needs),
              "output requirements");
    }
    check(API(GetRankedTensorType, handle, tensor_type *)(tensor, &type), "type");
    check(API(CreateManagedTensorBufferFromRequirements, handle, const tensor_type *, handle,
              handle *)(environment, &type, needs, &made),
          "buffer");
    return made;
}

static size_t packed_size(handle buffer)
{
    size_t size;
    check(API(GetTensorBufferPackedSize, handle, size_t *)(buffer, &size), "size");
    return size;
}

static void fill(handle buffer, const char *path)
{
    const size_t size = packed_size(buffer);
    void *memory;
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(3);
    }
    check(API(LockTensorBuffer, handle, void **, int)(buffer, &memory, LOCK_WRITE), "lock");
    const size_t got = fread(memory, 1, size, file);
    const bool whole = got == size && fgetc(file) == EOF;
    check(API(UnlockTensorBuffer, handle)(buffer), "unlock");
    fclose(file);
    if (!whole) {
        fprintf(stderr, "%s: not %zu bytes\n", path, size);
        exit(3);
    }
}

static void print(handle buffer, size_t index)
{
    const size_t size = packed_size(buffer);
    const unsigned char *memory;
    check(API(LockTensorBuffer, handle, void **, int)(buffer, (void **)&memory, LOCK_READ),
          "lock");
    printf("output %zu ", index);
    for (size_t i = 0; i < size; i++)
        printf("%02x", memory[i]);
    printf("\n");
    check(API(UnlockTensorBuffer, handle)(buffer), "unlock");
}

int main(int count, char **words)
{
    handle environment, model, signature, options, compiled;
    handle sources[MOST], results[MOST];
    size_t inputs, outputs;
    bool all, beyond_cpu;

    if (count < 5) {
        fprintf(stderr, "litert_run LIBRARY FOLDER cpu|gpu|both MODEL INPUT...\n");
        return 2;
    }
    library = dlopen(words[1], RTLD_NOW | RTLD_GLOBAL);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 3;
    }
    const option folder = {OPTION_LIBRARY_FOLDER, {ANY_STRING, {.text = words[2]}}};
    check(API(CreateEnvironment, int, const option *, handle *)(1, &folder, &environment),
          "environment");
    check(API(CreateModelFromFile, handle, const char *, handle *)(environment, words[4], &model),
          "model");
    check(API(CreateOptions, handle *)(&options), "options");
    const int accelerators = strcmp(words[3], "cpu") == 0   ? CPU
                             : strcmp(words[3], "gpu") == 0 ? GPU
                                                            : GPU | CPU;
    check(API(SetOptionsHardwareAccelerators, handle, int)(options, accelerators),
          "accelerators");
    check(API(CreateCompiledModel, handle, handle, handle, handle *)(environment, model, options,
                                                                     &compiled),
          "compile");
    check(API(CompiledModelIsFullyAccelerated, handle, bool *)(compiled, &all), "asking");
    check(API(CompiledModelIsNonCpuFullyAccelerated, handle, bool *)(compiled, &beyond_cpu),
          "asking");
    printf("fully_accelerated %d\nnon_cpu_fully_accelerated %d\n", all, beyond_cpu);

    check(API(GetModelSignature, handle, size_t, handle *)(model, 0, &signature), "signature");
    check(API(GetNumSignatureInputs, handle, size_t *)(signature, &inputs), "inputs");
    check(API(GetNumSignatureOutputs, handle, size_t *)(signature, &outputs), "outputs");
    if (inputs != (size_t)count - 5 || inputs > MOST || outputs > MOST) {
        fprintf(stderr, "the model has %zu inputs and %zu outputs\n", inputs, outputs);
        return 3;
    }
    for (size_t i = 0; i < inputs; i++) {
        sources[i] = buffer_for(environment, model, compiled, i, true);
        fill(sources[i], words[5 + i]);
    }
    for (size_t i = 0; i < outputs; i++)
        results[i] = buffer_for(environment, model, compiled, i, false);
    check(API(RunCompiledModel, handle, size_t, size_t, handle *, size_t, handle *)(
              compiled, 0, inputs, sources, outputs, results),
          "run");
    for (size_t i = 0; i < outputs; i++)
        print(results[i], i);

    for (size_t i = 0; i < inputs; i++)
        DESTROY(TensorBuffer, sources[i]);
    for (size_t i = 0; i < outputs; i++)
        DESTROY(TensorBuffer, results[i]);
    DESTROY(CompiledModel, compiled);
    DESTROY(Options, options);
    DESTROY(Model, model);
    DESTROY(Environment, environment);
    printf("done\n");
    return 0;
}
