package org.pocketfleet.bundle;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import org.junit.Test;
import org.pocketfleet.TestData;

public class ManifestTest {
  @Test
  public void everyChangeOfAKeyIsNoticedAndNamed() throws Exception {
    String good = TestData.text("whole/manifest.json");
    Manifest.read(utf8(good));
    String[][] cases = {
      {"\"batch_size\": 16", "\"batch_size\": \"16\"", "batch_size is not a natural number"},
      {"\"batch_size\": 16", "\"batch_size\": -1", "batch_size is not a natural number"},
      {"\"batch_size\": 16", "\"batch_size\": 16.0", "batch_size is not a natural number"},
      {"\"batch_size\": 16", "\"batch_size\": 0", "cannot be empty"},
      {"\"batch_size\": 16", "\"batch_size\": 99999999999", "too large"},
      {"\"batch_size\": 16", "\"batch\": 16", "missing key 'batch_size'"},
      {"\"batch_size\": 16", "\"batch_size\": 16, \"more\": 1", "unknown key 'more'"},
      {"\"batch_size\": 16", "\"batch_size\": 16, \"batch_size\": 16", "comes twice"},
      {"\"batch_size\": 16", "\"batch_size\": 16, \"part_of\": 1", "part_of is not an object"},
      {
        "\"batch_size\": 16",
        "\"batch_size\": 16, \"part_of\": {\"bundle\": \"a\", \"parts\": {\"v\": [[[0, -1]]]}}",
        "is not a natural number"
      },
      {"\"offset\": 0.0", "\"offset\": NaN", "not JSON"},
      {"\"offset\": 0.0", "\"offset\": 1e999", "offset is not a number"},
      {"\"format\": 2", "\"format\": 1", "this version of pocketfleet reads format 2"},
      {"\"step_ms\": ", "\"step_s\": 1, \"step_ms\": ", "unknown key 'step_s'"},
      {"\"memory_bytes\": ", "\"memory_bytes\": -", "memory_bytes is not a natural number"},
      {"\"measured\": {", "\"measured\": 1, \"x\": {", "measured is not an object"},
      {"\"trained\": true", "\"trained\": 1", "trained is not true or false"},
      {"\"float32\"", "\"float31\"", "unknown element type 'float31'"},
      {"\"conv1/kernel\"", "\"conv9/kernel\"", "'conv9/kernel', which no layer has"},
    };
    for (String[] one : cases) {
      String changed = good.replace(one[0], one[1]);
      if (one[0].contains("conv1")) {
        changed = good.replaceFirst("\"state\": \\[\\s*\"conv1", "\"state\": [\"conv9");
      }
      String text = changed;
      BundleFormatException error =
          assertThrows(one[1], BundleFormatException.class, () -> Manifest.read(utf8(text)));
      assertTrue(error.getMessage(), error.getMessage().contains(one[2]));
    }
  }

  @Test
  public void aPartOfALargerNetworkIsReadAsAnyOther() throws Exception {
    String good = TestData.text("whole/manifest.json");
    String part = "\"part_of\": {\"bundle\": \"a\", \"parts\": {\"v\": [null, [[0, 4], [6, 7]]]}}";
    Manifest read = Manifest.read(utf8(good.replaceFirst("\\{", "{" + part + ",")));
    assertEquals(Manifest.read(utf8(good)).variables().keySet(), read.variables().keySet());
  }

  @Test
  public void deepNestingIsRefused() {
    StringBuilder text = new StringBuilder();
    for (int depth = 0; depth < 100_000; depth++) {
      text.append('[');
    }
    assertThrows(BundleFormatException.class, () -> Manifest.read(utf8(text.toString())));
  }

  @Test
  public void aLaterFormatMayHoldAnything() {
    NewerBundleException error =
        assertThrows(
            NewerBundleException.class, () -> Manifest.read(utf8("{\"format\": 7, \"x\": []}")));
    assertEquals(
        "the bundle has format 7, which came after this version of pocketfleet (it reads format"
            + " 2): update this app",
        error.getMessage());
  }

  private static ByteBuffer utf8(String text) {
    return ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
  }
}
