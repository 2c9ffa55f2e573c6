package org.pocketfleet.app;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import android.app.Activity;
import android.app.Instrumentation;
import android.content.Context;
import android.content.pm.ApplicationInfo;
import android.os.Bundle;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.junit.Rule;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.pocketfleet.SettingsException;
import org.pocketfleet.transport.UnreachableException;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.annotation.Config;

@RunWith(RobolectricTestRunner.class)
@Config(sdk = {26, 34})
public class InstrumentationTest {
  @Rule public final Phone phone = new Phone();

  /** What {@code am instrument -w -r} would print. */
  private final List<String> printed = new ArrayList<>();

  private final CountDownLatch finished = new CountDownLatch(1);
  private Bundle result;
  private int code;

  private FleetInstrumentation start(Bundle arguments) {
    FleetInstrumentation instrumentation =
        new FleetInstrumentation(
            new FleetInstrumentation.Shell() {
              @Override
              public Context context() {
                return phone.app;
              }

              @Override
              public void status(int status, Bundle bundle) {
                synchronized (printed) {
                  printed.add(status + " " + bundle.getString("phase", "-"));
                }
              }

              @Override
              public void finish(int resultCode, Bundle bundle) {
                code = resultCode;
                result = bundle;
                finished.countDown();
              }
            });
    new Thread(() -> instrumentation.work(arguments), "instrumentation").start();
    return instrumentation;
  }

  private static Bundle arguments(String... pairs) {
    Bundle bundle = new Bundle();
    for (int i = 0; i < pairs.length; i += 2) {
      bundle.putString(pairs[i], pairs[i + 1]);
    }
    return bundle;
  }

  private void debuggable(boolean yes) {
    ApplicationInfo info = phone.app.getApplicationInfo();
    info.flags =
        yes
            ? info.flags | ApplicationInfo.FLAG_DEBUGGABLE
            : info.flags & ~ApplicationInfo.FLAG_DEBUGGABLE;
  }

  @Test
  public void leavesResultsWhereTheyCanBePulled() throws Exception {
    debuggable(true);
    phone.configured();
    Files.write(
        new File(Places.state(phone.app), "rounds.jsonl").toPath(),
        "{}\n".getBytes(StandardCharsets.UTF_8));
    start(arguments("rounds", "2", "out", "farm", "gate", "off", "name", "device 7"));
    phone.until("it runs", () -> phone.run != null && phone.run.begun.getCount() == 0);
    assertEquals(2, phone.run.settings.maxRounds);
    assertEquals("device 7", phone.run.settings.name);
    assertFalse(phone.run.settings.gated);
    phone.run.stop();
    phone.until("it has ended", () -> finished.getCount() == 0);
    assertEquals(Activity.RESULT_OK, code);
    assertEquals("", result.getString("problem"));
    assertTrue(result.getString(Instrumentation.REPORT_KEY_STREAMRESULT).contains("OK"));
    assertEquals("1 -", printed.get(0));
    assertTrue(printed.toString(), printed.contains("2 Ready"));
    assertEquals("0 -", printed.get(printed.size() - 1));
    File folder = new File(result.getString("results"));
    assertEquals("results-farm", folder.getName());
    JsonObject summary = json(new File(folder, "summary.json"));
    assertEquals(0, summary.get("rounds").getAsInt());
    assertTrue(summary.getAsJsonObject("device").has("device-model"));
    assertTrue(new File(folder, "rounds.jsonl").exists());
  }

  @Test
  public void failureIsAFailedTest() throws Exception {
    phone.configured();
    start(arguments("minutes", "1"));
    phone.until("it runs", () -> phone.run != null && phone.run.begun.getCount() == 0);
    assertTrue(phone.run.settings.endAtMs > System.currentTimeMillis());
    phone.run.fail(new UnreachableException("127.0.0.1:9: refused"));
    phone.until("it has ended", () -> finished.getCount() == 0);
    assertEquals(Activity.RESULT_CANCELED, code);
    assertTrue(result.getString("problem").contains("cannot be reached"));
    assertEquals("-2 -", printed.get(printed.size() - 1));
    JsonObject summary = json(new File(result.getString("results"), "summary.json"));
    assertTrue(summary.get("problem").getAsString().contains("cannot be reached"));
  }

  @Test
  public void otherAppsCannotPointReleaseElsewhere() {
    debuggable(false);
    phone.configured();
    start(arguments("server", "evil.example:1", "rounds", "1"));
    phone.until("it has ended", () -> finished.getCount() == 0);
    assertEquals(Activity.RESULT_CANCELED, code);
    assertTrue(result.getString("problem").contains("'server'"));
    assertEquals(0, phone.runs.get());
  }

  @Test
  public void argumentsAreChecked() throws Exception {
    Settings settings = phone.configured();
    String[][] wrong = {
      {"rounds", "-1"},
      {"rounds", "many"},
      {"minutes", "9999999999"},
      {"out", "../../data"},
      {"server", "http://x"},
      {"insecure", "yes"},
      {"ca", "/no/such/file"},
      {"data", "missing.npz"},
      {"invitation", "missing.json"},
      {"nonsense", "1"},
    };
    for (String[] each : wrong) {
      try {
        Arguments.apply(phone.app, settings, arguments(each), true);
        throw new AssertionError(each[0] + "=" + each[1] + " was taken");
      } catch (SettingsException error) {
        assertTrue(error.getMessage(), error.getMessage().contains("'" + each[0] + "'"));
      }
    }
    File data = new File(Places.exchange(phone.app), "shard.npz");
    Files.write(data.toPath(), new byte[1]);
    Settings changed =
        Arguments.apply(
            phone.app, settings, arguments("data", "shard.npz", "give-up-after", "60"), true);
    assertEquals(data.getPath(), changed.data);
    assertEquals(60, changed.giveUpAfterS);
  }

  private static JsonObject json(File file) throws Exception {
    return JsonParser.parseString(
            new String(Files.readAllBytes(file.toPath()), StandardCharsets.UTF_8))
        .getAsJsonObject();
  }
}
