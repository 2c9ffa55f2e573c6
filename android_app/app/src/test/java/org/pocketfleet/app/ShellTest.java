package org.pocketfleet.app;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import android.app.Activity;
import android.content.BroadcastReceiver;
import android.content.Context;
import android.content.Intent;
import android.content.pm.ActivityInfo;
import android.content.pm.PackageInfo;
import android.content.pm.PackageManager;
import android.content.pm.ServiceInfo;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import org.junit.Rule;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.annotation.Config;

/** What the adb shell may do, and that nobody else may. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = {26, 34})
public class ShellTest {
  @Rule public final Phone phone = new Phone();

  private volatile int code;
  private volatile String data;

  /** Sends what {@code am broadcast} would, and returns what it would print. */
  private JsonObject broadcast(Intent intent) {
    code = -7;
    data = null;
    BroadcastReceiver last =
        new BroadcastReceiver() {
          @Override
          public void onReceive(Context context, Intent received) {
            data = getResultData();
            code = getResultCode();
          }
        };
    phone.app.sendOrderedBroadcast(
        intent.setClass(phone.app, ShellReceiver.class), null, last, null, 0, null, null);
    phone.until("the answer is there", () -> code != -7);
    return JsonParser.parseString(data).getAsJsonObject();
  }

  @Test
  public void tellsTheKey() {
    JsonObject answer = broadcast(new Intent(ShellReceiver.KEY));
    assertEquals(Activity.RESULT_OK, code);
    assertTrue(answer.get("fingerprint").getAsString().matches("sha256:[0-9a-f]{16}"));
    assertTrue(answer.get("pem").getAsString().startsWith("-----BEGIN PUBLIC KEY-----"));
    assertTrue(answer.get("ssh").getAsString().startsWith("ecdsa-sha2-nistp384 "));
  }

  @Test
  public void configuresAndTellsItsStatus() {
    phone.configured();
    broadcast(
        new Intent(ShellReceiver.CONFIGURE)
            .putExtra("server", "10.0.0.5:8000")
            .putExtra("background", true));
    assertEquals(Activity.RESULT_OK, code);
    assertTrue(SettingsStore.load(phone.app).background);
    JsonObject status = broadcast(new Intent(ShellReceiver.STATUS));
    assertEquals("10.0.0.5:8000", status.get("server").getAsString());
    assertFalse(status.get("running").getAsBoolean());
    assertEquals("stopped", status.get("phase").getAsString());

    JsonObject wrong = broadcast(new Intent(ShellReceiver.CONFIGURE).putExtra("server", "x"));
    assertEquals(1, code);
    assertTrue(wrong.get("problem").getAsString().contains("'server'"));
    assertEquals("10.0.0.5:8000", SettingsStore.load(phone.app).server);
  }

  @Test
  public void stops() {
    Settings.Builder wanted = phone.configured().change();
    wanted.wanted = true;
    SettingsStore.save(phone.app, wanted.build());
    assertTrue(Fleet.get().start(phone.app, wanted.build(), (rounds, problem) -> {}));
    broadcast(new Intent(FleetService.STOP));
    phone.until("it has left", () -> !Fleet.get().running());
    assertFalse(SettingsStore.load(phone.app).wanted);
  }

  @Test
  public void whatOthersCanReachAsksForThePermissionThatOnlyTheShellHas() throws Exception {
    PackageInfo info =
        phone
            .app
            .getPackageManager()
            .getPackageInfo(
                phone.app.getPackageName(),
                PackageManager.GET_SERVICES
                    | PackageManager.GET_RECEIVERS
                    | PackageManager.GET_ACTIVITIES
                    | PackageManager.GET_PROVIDERS);
    for (ServiceInfo service : info.services) {
      assertTrue(service.name, !service.exported || service.permission.endsWith(".DUMP"));
    }
    for (ActivityInfo receiver : info.receivers) {
      assertTrue(receiver.name, !receiver.exported || receiver.permission.endsWith(".DUMP"));
    }
    assertEquals(1, info.activities.length);
    assertEquals(MainActivity.class.getName(), info.activities[0].name);
    assertTrue(info.providers == null || info.providers.length == 0);
  }
}
