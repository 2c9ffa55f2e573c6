package org.pocketfleet.report;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import java.io.File;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;

/**
 * A file of JSON objects, one a line, that never grows beyond a limit: when it is full it becomes
 * {@code <name>.1}, and what was there before is dropped. A line that a crash cut short is passed
 * over.
 */
public final class JsonLines {
  private final File file;
  private final File older;
  private final long maxBytes;

  /**
   * Names a file; nothing is made before the first line.
   *
   * @param file the newer lines
   * @param maxBytes size at which the lines are moved to the older file, so at most half of what is
   *     kept
   */
  public JsonLines(File file, long maxBytes) {
    this.file = file;
    this.older = new File(file.getPath() + ".1");
    this.maxBytes = maxBytes;
  }

  /**
   * Adds a line.
   *
   * @throws IOException it cannot be written
   */
  public synchronized void append(JsonObject line) throws IOException {
    byte[] bytes = (line + "\n").getBytes(StandardCharsets.UTF_8);
    if (file.length() > 0 && file.length() + bytes.length > maxBytes) {
      Files.move(file.toPath(), older.toPath(), StandardCopyOption.REPLACE_EXISTING);
    }
    try (RandomAccessFile out = new RandomAccessFile(file, "rw")) {
      long end = out.length();
      if (end > 0) {
        out.seek(end - 1);
        if (out.read() != '\n') {
          out.write('\n');
        }
      }
      out.seek(out.length());
      out.write(bytes);
    }
  }

  /**
   * Reads the newest lines, oldest of them first.
   *
   * @param most how many at most
   * @throws IOException the file is there and cannot be read
   */
  public synchronized List<JsonObject> last(int most) throws IOException {
    List<JsonObject> lines = new ArrayList<>();
    read(older, lines);
    read(file, lines);
    return new ArrayList<>(lines.subList(Math.max(0, lines.size() - most), lines.size()));
  }

  private static void read(File from, List<JsonObject> lines) throws IOException {
    if (!from.exists()) {
      return;
    }
    String text = new String(Files.readAllBytes(from.toPath()), StandardCharsets.UTF_8);
    for (String line : text.split("\n", -1)) {
      JsonElement element;
      try {
        element = JsonParser.parseString(line);
      } catch (JsonParseException torn) {
        continue;
      }
      if (element.isJsonObject()) {
        lines.add(element.getAsJsonObject());
      }
    }
  }
}
