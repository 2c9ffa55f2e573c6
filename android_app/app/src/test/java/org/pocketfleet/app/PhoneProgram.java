package org.pocketfleet.app;

import static org.junit.Assert.assertEquals;
import static org.robolectric.Shadows.shadowOf;

import android.app.Application;
import android.app.NotificationManager;
import android.content.Intent;
import android.os.BatteryManager;
import android.os.Looper;
import android.service.notification.StatusBarNotification;
import java.io.File;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.List;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.android.controller.ServiceController;
import org.robolectric.annotation.Config;

/**
 * The phone that {@link PhoneMain} switches on: its service is started and stopped as the adb shell
 * and the notification's button would. It touches nothing of the app but what the manifest names,
 * so that it also runs with the classes of a release, in which R8 has renamed the rest.
 */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34)
public class PhoneProgram {
  private final Application app = RuntimeEnvironment.getApplication();

  @Test
  public void work() throws Exception {
    List<String> arguments =
        Arrays.asList(System.getProperty("pocketfleet.phone", "").split("\n", -1));
    File state = new File(arguments.get(arguments.indexOf("--state") + 1));
    charge();
    // The key that the server knows; where it lies on a phone without a keystore.
    File own = new File(app.getNoBackupFilesDir(), "state");
    Files.createDirectories(own.toPath());
    Files.copy(new File(state, "key.pem").toPath(), new File(own, "key.pem").toPath());
    ServiceController<FleetService> service =
        Robolectric.buildService(FleetService.class, null).create();
    service.get().onStartCommand(start(arguments), 0, 1);
    File stop = new File(state, PhoneMain.STOP);
    boolean stopping = false;
    while (!shadowOf(service.get()).isStoppedBySelf()) {
      if (!stopping && stop.exists()) {
        stopping = true;
        service.get().onStartCommand(new Intent("org.pocketfleet.STOP"), 0, 2);
      }
      shadowOf(Looper.getMainLooper()).idle();
      Thread.sleep(20);
    }
    assertEquals("", problem());
    // Java's own log is shut down by now.
    System.out.println("phone: off");
  }

  // Deprecated for apps; Android itself tells about the battery in this way.
  @SuppressWarnings("deprecation")
  private void charge() {
    app.sendStickyBroadcast(
        new Intent(Intent.ACTION_BATTERY_CHANGED)
            .putExtra(BatteryManager.EXTRA_PLUGGED, BatteryManager.BATTERY_PLUGGED_AC)
            .putExtra(BatteryManager.EXTRA_LEVEL, 80)
            .putExtra(BatteryManager.EXTRA_SCALE, 100));
  }

  private static Intent start(List<String> arguments) {
    Intent intent = new Intent("org.pocketfleet.START");
    // A phone that knows whose models to trust gets them from the server.
    boolean receives = arguments.contains("--trust");
    String[] names = {"server", "bundle", "data", "test-data", "ca", "trust", "name"};
    for (String name : names) {
      int at = arguments.indexOf("--" + name);
      if (at >= 0 && !(receives && name.equals("bundle"))) {
        intent.putExtra(name, arguments.get(at + 1));
      }
    }
    // Robolectric's network is metered.
    return intent
        .putExtra("insecure", arguments.contains("--insecure"))
        .putExtra("unmetered-only", false);
  }

  private String problem() {
    NotificationManager manager = app.getSystemService(NotificationManager.class);
    for (StatusBarNotification shown : manager.getActiveNotifications()) {
      if (!shown.isOngoing()) {
        return String.valueOf(shown.getNotification().extras.getString("android.text"));
      }
    }
    return "";
  }
}
