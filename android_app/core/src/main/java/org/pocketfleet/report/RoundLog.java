package org.pocketfleet.report;

import com.google.gson.JsonObject;
import java.io.IOException;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.LongSupplier;
import org.pocketfleet.client.ClientListener;
import org.pocketfleet.client.Records;
import org.pocketfleet.client.Reply;
import org.pocketfleet.client.Task;

/**
 * Keeps what a client did, one line a task ({@code rounds.jsonl}): {@code time-ms}, {@code kind},
 * {@code round}, {@code problem} if there was one, and the reply's metrics and info by their names
 * on the wire. Weights are not kept.
 */
public final class RoundLog implements ClientListener {
  private final JsonLines lines;
  private final LongSupplier clockMs;
  private final Consumer<String> warn;

  /**
   * Makes a log.
   *
   * @param lines where the lines go
   * @param clockMs milliseconds since the epoch
   * @param warn told in words when a line cannot be written; the client goes on
   */
  public RoundLog(JsonLines lines, LongSupplier clockMs, Consumer<String> warn) {
    this.lines = lines;
    this.clockMs = clockMs;
    this.warn = warn;
  }

  @Override
  public void finished(Task task, Reply reply, String problem) {
    if (Records.QUERY.equals(task.kind()) && problem == null) {
      return;
    }
    JsonObject line = new JsonObject();
    line.addProperty("time-ms", clockMs.getAsLong());
    line.addProperty("kind", task.kind());
    line.addProperty("round", task.round());
    if (problem != null) {
      line.addProperty("problem", problem);
    }
    if (reply != null) {
      copy(reply.metrics(), line);
      copy(reply.info(), line);
    }
    try {
      lines.append(line);
    } catch (IOException error) {
      warn.accept("the round could not be noted: " + error.getMessage());
    }
  }

  private static void copy(Map<String, Object> values, JsonObject line) {
    for (Map.Entry<String, Object> entry : values.entrySet()) {
      Object value = entry.getValue();
      if (value instanceof Boolean) {
        line.addProperty(entry.getKey(), (Boolean) value);
      } else if (value instanceof Double && !Double.isFinite((Double) value)) {
        // JSON has no such number.
        line.addProperty(entry.getKey(), value.toString());
      } else if (value instanceof Number) {
        line.addProperty(entry.getKey(), (Number) value);
      } else if (value instanceof String) {
        line.addProperty(entry.getKey(), (String) value);
      }
    }
  }

  @Override
  public void connected() {}

  @Override
  public void waiting(double waitSeconds) {}

  @Override
  public void working(Task task) {}

  @Override
  public void sent() {}

  @Override
  public void trouble(String words) {}
}
