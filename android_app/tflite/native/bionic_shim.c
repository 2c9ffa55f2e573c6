/*
 * What Android's C library has and glibc lacks or does otherwise: just as much of it as the AAR's
 * libtensorflowlite_jni.so uses (patch_elf.py gives those that exist in both a name with B).
 *
 * Everything else the library gets from glibc itself: on a 64-bit machine the two agree on the kernel's structures, on
 * the sizes of pthread's types and on their static initial values (zeros).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int *__errno(void) { return &errno; }

size_t __strlen_chk(const char *text, size_t room) {
  size_t length = strlen(text);
  if (length >= room) abort();
  return length;
}

/*
 * System properties. Only one is known here: TensorFlow Lite uses XNNPACK only where this number says that Android is 4.4
 * or newer. 26 is the oldest that our app runs on.
 */
int __system_property_get(const char *name, char *value) {
  const char *known = strcmp(name, "ro.build.version.sdk") ? "" : "26";
  strcpy(value, known);
  return (int)strlen(known);
}

void android_set_abort_message(const char *message) { fprintf(stderr, "tensorflow-lite: %s\n", message); }

/* Priorities: 3 debug, 4 info, 5 warning, 6 error. What is less than a warning would only be noise in a terminal. */
int __android_log_vprint(int priority, const char *tag, const char *format, va_list arguments) {
  if (priority < 5) return 0;
  fprintf(stderr, "%s: ", tag);
  int written = vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  return written;
}

/* stdin, stdout and stderr are &__sF[0], [1] and [2] of 152 bytes each; every other FILE came from glibc's fopen. */
#define FILE_BYTES 152
char __sF[3 * FILE_BYTES];

static FILE *file_of(void *stream) {
  char *place = stream;
  if (place < __sF || place >= __sF + sizeof __sF) return stream;
  switch ((place - __sF) / FILE_BYTES) {
    case 0:
      return stdin;
    case 1:
      return stdout;
    default:
      return stderr;
  }
}

int Bprintf(void *stream, const char *format, ...) { /* fprintf */
  va_list arguments;
  va_start(arguments, format);
  int written = vfprintf(file_of(stream), format, arguments);
  va_end(arguments);
  return written;
}

int Bfprintf(void *stream, const char *format, va_list arguments) { /* vfprintf */
  return vfprintf(file_of(stream), format, arguments);
}

int Bputc(int character, void *stream) { return fputc(character, file_of(stream)); } /* fputc */

size_t Bwrite(const void *data, size_t size, size_t count, void *stream) { /* fwrite */
  return fwrite(data, size, count, file_of(stream));
}

size_t Bread(void *data, size_t size, size_t count, void *stream) { /* fread */
  return fread(data, size, count, file_of(stream));
}

int Bflush(void *stream) { return fflush(stream ? file_of(stream) : NULL); } /* fflush */

int Bileno(void *stream) { return fileno(file_of(stream)); } /* fileno */

int Bclose(void *stream) { return fclose(file_of(stream)); } /* fclose */

int __xpg_strerror_r(int error, char *text, size_t room);
int Btrerror_r(int error, char *text, size_t room) { return __xpg_strerror_r(error, text, room); } /* strerror_r */

long Bysconf(int name) { /* sysconf, by bionic's numbers */
  switch (name) {
    case 0x27: /* _SC_PAGESIZE */
    case 0x28: /* _SC_PAGE_SIZE */
      return sysconf(_SC_PAGESIZE);
    case 0x60:
      return sysconf(_SC_NPROCESSORS_CONF);
    case 0x61:
      return sysconf(_SC_NPROCESSORS_ONLN);
    case 0x62:
      return sysconf(_SC_PHYS_PAGES);
    case 0x63:
      return sysconf(_SC_AVPHYS_PAGES);
    default:
      errno = EINVAL;
      return -1;
  }
}

/*
 * dlsym(RTLD_DEFAULT, ...). Bionic looks in the caller's own library, too; glibc does so only if that was loaded for all
 * to see, and Java loads for itself. TensorFlow Lite looks for its XNNPACK delegate in this way.
 */
void *Blsym(void *handle, const char *name) {
  void *found = dlsym(handle, name);
  Dl_info caller;
  if (!found && handle == RTLD_DEFAULT && dladdr(__builtin_return_address(0), &caller)) {
    void *library = dlopen(caller.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    if (library) {
      found = dlsym(library, name);
      dlclose(library);
    }
  }
  return found;
}

#ifdef __aarch64__
/*
 * Bionic keeps the stack protector's secret 40 bytes behind the thread pointer; code compiled for it reads it there at
 * the start and at the end of a function. With glibc that place belongs to the thread-local variables of the first
 * module that has any. Preloaded (LD_PRELOAD), this module is the first, and nobody writes to the pad.
 */
#define SECRET 40
static __attribute__((tls_model("initial-exec"))) __thread volatile char pad[64] = {1};

static __attribute__((constructor)) void check_pad(void) {
  uintptr_t secret = (uintptr_t)__builtin_thread_pointer() + SECRET;
  if (secret < (uintptr_t)pad || secret + sizeof(uintptr_t) > (uintptr_t)pad + sizeof pad) {
    fputs("libbsh.so: on aarch64 this library has to be preloaded: LD_PRELOAD=.../libbsh.so\n", stderr);
    abort();
  }
}
#endif
