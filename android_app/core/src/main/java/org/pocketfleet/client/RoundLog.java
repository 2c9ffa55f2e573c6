package org.pocketfleet.client;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.pocketfleet.message.Reply;
import org.pocketfleet.message.Task;

/**
 * What a client has done lately, for a screen or to be collected: {@code rounds.jsonl}, one line of
 * JSON a finished task, oldest first.
 *
 * <p>Fields: {@code time} (seconds since the epoch, by the device's clock), {@code kind}, {@code
 * round}, {@code seconds} (of work), {@code metrics} and {@code info} (of the answer, by their
 * names on the wire), {@code problem} (why the server got an error; absent if it got an answer),
 * {@code declined} (whether the device's owner's conditions were the reason). The file is bounded:
 * when it is full, its older half goes.
 */
public final class RoundLog {
  /** Name of the file in a state directory. */
  public static final String FILE_NAME = "rounds.jsonl";

  private static final int MAX_BYTES = 256 << 10;

  private final Path file;
  private final int maxBytes;

  /** The log of a state directory. It need not exist yet. */
  public RoundLog(File stateDirectory) {
    this(stateDirectory, MAX_BYTES);
  }

  RoundLog(File stateDirectory, int maxBytes) {
    this.file = new File(stateDirectory, FILE_NAME).toPath();
    this.maxBytes = maxBytes;
  }

  /**
   * Adds a line.
   *
   * @param reply null if there was none
   * @param problem null if there was none
   * @throws IOException the file cannot be written
   */
  void add(Task task, double time, double seconds, Reply reply, String problem, boolean declined)
      throws IOException {
    JsonObject line = new JsonObject();
    line.addProperty("time", time);
    line.addProperty("kind", task.kind());
    line.addProperty("round", task.round());
    line.addProperty("seconds", seconds);
    JsonObject metrics = new JsonObject();
    if (reply != null) {
      for (Map.Entry<String, Object> metric : reply.metrics().entrySet()) {
        double value = ((Number) metric.getValue()).doubleValue();
        // JSON has no word for what is not a number.
        if (!Double.isNaN(value) && !Double.isInfinite(value)) {
          metrics.addProperty(metric.getKey(), (Number) metric.getValue());
        }
      }
    }
    line.add("metrics", metrics);
    JsonObject info = new JsonObject();
    if (reply != null) {
      for (Map.Entry<String, Object> word : reply.info().entrySet()) {
        info.addProperty(word.getKey(), word.getValue().toString());
      }
    }
    line.add("info", info);
    if (problem != null) {
      line.addProperty("problem", problem);
    }
    line.addProperty("declined", declined);
    append((line + "\n").getBytes(StandardCharsets.UTF_8));
  }

  /**
   * The last lines, oldest first. A line that a crash left unfinished is left out.
   *
   * @throws IOException the file cannot be read
   */
  public List<JsonObject> last(int count) throws IOException {
    List<JsonObject> lines = new ArrayList<>();
    for (String text : new String(bytes(), StandardCharsets.UTF_8).split("\n", 0)) {
      JsonObject line = parse(text);
      if (line != null) {
        lines.add(line);
      }
    }
    return Collections.unmodifiableList(
        lines.subList(Math.max(0, lines.size() - count), lines.size()));
  }

  /** One line; null if it is not whole. */
  private static JsonObject parse(String text) {
    try {
      JsonElement line = JsonParser.parseString(text);
      return line.isJsonObject() ? line.getAsJsonObject() : null;
    } catch (JsonParseException unfinished) {
      return null;
    }
  }

  private void append(byte[] line) throws IOException {
    byte[] before = bytes();
    if (before.length + line.length > maxBytes) {
      int from = before.length / 2;
      while (from < before.length && before[from] != '\n') {
        from++;
      }
      Path temporary = file.resolveSibling(FILE_NAME + ".tmp");
      Files.write(
          temporary, Arrays.copyOfRange(before, Math.min(from + 1, before.length), before.length));
      Files.move(
          temporary, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }
    boolean unfinished = before.length > 0 && before[before.length - 1] != '\n';
    try (FileChannel channel =
        FileChannel.open(
            file, StandardOpenOption.WRITE, StandardOpenOption.CREATE, StandardOpenOption.APPEND)) {
      ByteBuffer content = ByteBuffer.allocate(line.length + 1);
      if (unfinished) {
        content.put((byte) '\n');
      }
      content.put(line).flip();
      while (content.hasRemaining()) {
        channel.write(content);
      }
      channel.force(false);
    }
  }

  private byte[] bytes() throws IOException {
    try {
      return Files.readAllBytes(file);
    } catch (NoSuchFileException none) {
      return new byte[0];
    }
  }
}
