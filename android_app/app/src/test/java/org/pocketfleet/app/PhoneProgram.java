package org.pocketfleet.app;

import static org.junit.Assert.assertEquals;
import static org.robolectric.Shadows.shadowOf;

import android.app.NotificationManager;
import android.content.Intent;
import android.os.Looper;
import android.service.notification.StatusBarNotification;
import java.io.File;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.List;
import org.junit.Rule;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.android.controller.ServiceController;
import org.robolectric.annotation.Config;

/** The phone that {@link PhoneMain} switches on: its service is started as the adb shell would. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34)
public class PhoneProgram {
  @Rule public final Phone phone = new Phone();

  private ServiceController<FleetService> service;

  @Test
  public void work() throws Exception {
    List<String> arguments =
        Arrays.asList(System.getProperty("pocketfleet.phone", "").split("\n", -1));
    File state = new File(arguments.get(arguments.indexOf("--state") + 1));
    // The key that the server knows; where it lies on a phone without a keystore.
    Files.copy(
        new File(state, "key.pem").toPath(), new File(Places.state(phone.app), "key.pem").toPath());
    Fleet.get().replaceRuns(FleetRun::new);
    Intent intent = new Intent(phone.app, FleetService.class).setAction(FleetService.START);
    for (String name :
        new String[] {"server", "bundle", "data", "test-data", "ca", "trust", "name"}) {
      int at = arguments.indexOf("--" + name);
      if (at >= 0) {
        intent.putExtra(name, arguments.get(at + 1));
      }
    }
    intent.putExtra("insecure", arguments.contains("--insecure"));
    // Robolectric's battery is charged, its network is metered.
    intent.putExtra("unmetered-only", false);
    service = Robolectric.buildService(FleetService.class, intent).create();
    service.get().onStartCommand(intent, 0, 1);
    File stop = new File(state, PhoneMain.STOP);
    boolean stopping = false;
    while (Fleet.get().running()) {
      if (!stopping && stop.exists()) {
        stopping = true;
        service.get().onStartCommand(new Intent(FleetService.STOP), 0, 2);
      }
      shadowOf(Looper.getMainLooper()).idle();
      Thread.sleep(20);
    }
    phone.until("the service has left", () -> shadowOf(service.get()).isStoppedBySelf());
    assertEquals("", problem());
    // Java's own log is shut down by now.
    System.out.println("phone: off");
  }

  private String problem() {
    for (StatusBarNotification shown :
        phone.app.getSystemService(NotificationManager.class).getActiveNotifications()) {
      if (shown.getId() == Notifications.PROBLEM_ID) {
        return shown.getNotification().extras.getString("android.text");
      }
    }
    return "";
  }
}
