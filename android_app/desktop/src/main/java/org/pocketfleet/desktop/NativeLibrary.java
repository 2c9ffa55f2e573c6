package org.pocketfleet.desktop;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.pocketfleet.PocketfleetException;

/**
 * TensorFlow Lite for a desktop: the library of the Android AAR, which the build made loadable and
 * put into this program's jar ({@code tflite/native}).
 */
public final class NativeLibrary {
  private static final String FOLDER = "linux-x86_64";
  private static final String[] FILES = {"libbsh.so", "libtensorflowlite_jni.so"};
  // What TensorFlow Lite tells of how it was loaded is of no use here. A field, as loggers without
  // an owner forget their level.
  private static final Logger LOGGER = Logger.getLogger("org.tensorflow.lite");
  private static boolean loaded;

  private NativeLibrary() {}

  /**
   * Loads the library, unless that was done already. Its files are unpacked into a directory that
   * only this user can read and are deleted as soon as they are in memory.
   *
   * @throws PocketfleetException this is another machine than Linux on x86-64, or the library
   *     cannot be unpacked or loaded here
   */
  public static synchronized void load() throws PocketfleetException {
    if (loaded) {
      return;
    }
    LOGGER.setLevel(Level.WARNING);
    String system = System.getProperty("os.name") + " on " + System.getProperty("os.arch");
    if (!isSupported(System.getProperty("os.name"), System.getProperty("os.arch"))) {
      throw new PocketfleetException(
          String.format(
              Locale.ROOT,
              "this program trains on Linux on x86-64, and this is %s; use the Python client here",
              system));
    }
    try {
      // Made with mode 0700.
      Path directory = Files.createTempDirectory("pocketfleet-");
      try {
        for (String name : FILES) {
          unpack(name, directory);
        }
        for (String name : FILES) {
          System.load(directory.resolve(name).toString());
        }
      } finally {
        for (String name : FILES) {
          Files.deleteIfExists(directory.resolve(name));
        }
        Files.deleteIfExists(directory);
      }
    } catch (IOException | UnsatisfiedLinkError error) {
      throw new PocketfleetException(
          String.format(
              Locale.ROOT,
              "TensorFlow Lite cannot be loaded through %s: %s; it needs glibc 2.34 or newer and a"
                  + " directory that allows programs (choose one with -Djava.io.tmpdir=DIR)",
              new File(System.getProperty("java.io.tmpdir")),
              error.getMessage()),
          error);
    }
    loaded = true;
  }

  /** Whether the library runs on a system of this name and machine. */
  static boolean isSupported(String system, String machine) {
    return system.equals("Linux") && (machine.equals("amd64") || machine.equals("x86_64"));
  }

  private static void unpack(String name, Path directory) throws IOException {
    try (InputStream in = NativeLibrary.class.getResourceAsStream(FOLDER + "/" + name)) {
      if (in == null) {
        throw new IOException("this jar was built without " + name);
      }
      Files.copy(in, directory.resolve(name));
    }
  }
}
