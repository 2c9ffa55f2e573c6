package org.pocketfleet.report;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import com.google.gson.JsonObject;
import java.io.File;
import java.io.FileOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.List;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class JsonLinesTest {
  @Rule public final TemporaryFolder folder = new TemporaryFolder();

  private static JsonObject number(int i) {
    JsonObject line = new JsonObject();
    line.addProperty("i", i);
    return line;
  }

  @Test
  public void fileStaysWithinItsLimit() throws Exception {
    File file = new File(folder.getRoot(), "lines.jsonl");
    JsonLines lines = new JsonLines(file, 1000);
    assertEquals(Collections.emptyList(), lines.last(5));
    for (int i = 0; i < 1000; i++) {
      lines.append(number(i));
    }
    assertTrue(file.length() <= 1000);
    assertTrue(new File(file.getPath() + ".1").length() <= 1000);
    List<JsonObject> last = lines.last(100);
    assertEquals(100, last.size());
    for (int i = 0; i < 100; i++) {
      assertEquals(900 + i, last.get(i).get("i").getAsInt());
    }
  }

  @Test
  public void lineCutShortByCrashIsPassedOver() throws Exception {
    File file = new File(folder.getRoot(), "lines.jsonl");
    JsonLines lines = new JsonLines(file, 1000);
    lines.append(number(1));
    try (FileOutputStream out = new FileOutputStream(file, true)) {
      out.write("{\"i\": 2, \"tex".getBytes(StandardCharsets.UTF_8));
    }
    lines.append(number(3));
    assertEquals("[{\"i\":1}, {\"i\":3}]", lines.last(5).toString());
  }
}
