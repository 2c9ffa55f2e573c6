package org.pocketfleet;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;

/** What {@code android_app/test_data/make.py} made. */
public final class TestData {
  private static final File FOLDER = new File("../target/test-data");

  private TestData() {}

  /** A file or folder. */
  public static File file(String name) {
    File file = new File(FOLDER, name);
    if (!file.exists()) {
      throw new AssertionError(file + " is missing: android_app/test_data/make makes it");
    }
    return file;
  }

  /** A file's bytes. */
  public static ByteBuffer bytes(String name) throws IOException {
    return ByteBuffer.wrap(Files.readAllBytes(file(name).toPath()));
  }

  /** A file's text. */
  public static String text(String name) throws IOException {
    return new String(bytes(name).array(), StandardCharsets.UTF_8);
  }
}
