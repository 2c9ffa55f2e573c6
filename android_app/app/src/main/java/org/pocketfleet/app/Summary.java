package org.pocketfleet.app;

import android.content.Context;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;
import java.util.Map;
import org.pocketfleet.Events;
import org.pocketfleet.client.RoundLog;

/** What a run leaves for {@code adb pull}: {@code summary.json} and a copy of the rounds. */
final class Summary {
  static final String FILE = "summary.json";

  private final long startedMs;
  private final long endedMs;
  private final long rounds;
  private final String problem;

  Summary(long startedMs, long endedMs, long rounds, String problem) {
    this.startedMs = startedMs;
    this.endedMs = endedMs;
    this.rounds = rounds;
    this.problem = problem;
  }

  /** Writes both files; what cannot be written is logged. */
  void write(Context context, File results) {
    JsonObject summary = new JsonObject();
    summary.addProperty("started-ms", startedMs);
    summary.addProperty("ended-ms", endedMs);
    summary.addProperty("rounds", rounds);
    summary.addProperty("problem", problem);
    JsonObject device = new JsonObject();
    for (Map.Entry<String, Object> fact : DeviceFacts.of(context).entrySet()) {
      device.add(fact.getKey(), json(fact.getValue()));
    }
    summary.add("device", device);
    try {
      Files.write(
          new File(results, FILE).toPath(), (summary + "\n").getBytes(StandardCharsets.UTF_8));
      File log = new File(Places.state(context), RoundLog.FILE_NAME);
      if (log.exists()) {
        Files.copy(
            log.toPath(),
            new File(results, RoundLog.FILE_NAME).toPath(),
            StandardCopyOption.REPLACE_EXISTING);
      }
    } catch (IOException error) {
      Events.error(error, "event=results-not-written directory=%s", results);
    }
  }

  private static JsonElement json(Object value) {
    return value instanceof Number
        ? new JsonPrimitive((Number) value)
        : new JsonPrimitive(value.toString());
  }
}
