package org.pocketfleet.app;

import android.content.Context;
import com.google.gson.JsonObject;
import java.io.File;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.time.Instant;
import java.util.List;
import java.util.logging.ErrorManager;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import org.pocketfleet.Events;
import org.pocketfleet.report.JsonLines;

/** Keeps the client's log in {@code events.jsonl}, bounded, beside what Android's own log gets. */
final class EventLog extends Handler {
  static final String FILE = "events.jsonl";
  private static final long MAX_BYTES = 256 << 10;
  private static final int MOST_SHARED = 400;

  private final JsonLines lines;

  private EventLog(File directory) {
    this.lines = new JsonLines(new File(directory, FILE), MAX_BYTES);
  }

  /** Begins to log to a folder; {@link #close} ends it. */
  static EventLog open(File directory) {
    EventLog log = new EventLog(directory);
    Events.LOGGER.addHandler(log);
    return log;
  }

  @Override
  public void publish(LogRecord record) {
    JsonObject line = new JsonObject();
    line.addProperty("time-ms", record.getMillis());
    line.addProperty("level", record.getLevel().getName());
    line.addProperty("text", record.getMessage());
    if (record.getThrown() != null) {
      StringWriter trace = new StringWriter();
      record.getThrown().printStackTrace(new PrintWriter(trace, true));
      line.addProperty("trace", trace.toString());
    }
    try {
      lines.append(line);
    } catch (IOException full) {
      reportError("cannot write the log", full, ErrorManager.WRITE_FAILURE);
    }
  }

  @Override
  public void flush() {}

  @Override
  public void close() {
    Events.LOGGER.removeHandler(this);
  }

  /** The newest lines as text, for sharing. */
  static String text(Context context, File directory) throws IOException {
    StringBuilder text = new StringBuilder();
    DeviceFacts.of(context)
        .forEach((key, value) -> text.append(key).append(": ").append(value).append('\n'));
    List<JsonObject> last = new JsonLines(new File(directory, FILE), MAX_BYTES).last(MOST_SHARED);
    for (JsonObject line : last) {
      text.append(Instant.ofEpochMilli(line.get("time-ms").getAsLong()))
          .append(' ')
          .append(line.get("text").getAsString())
          .append('\n');
    }
    return text.toString();
  }
}
