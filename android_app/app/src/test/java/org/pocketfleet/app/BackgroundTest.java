package org.pocketfleet.app;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.app.job.JobInfo;
import android.app.job.JobParameters;
import android.app.job.JobScheduler;
import android.content.Intent;
import android.net.ConnectivityManager;
import android.net.NetworkCapabilities;
import android.os.Build;
import android.os.PersistableBundle;
import android.os.PowerManager;
import com.google.gson.JsonObject;
import java.io.File;
import java.util.List;
import org.junit.Rule;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.pocketfleet.readiness.Conditions;
import org.pocketfleet.report.JsonLines;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.annotation.Config;
import org.robolectric.shadows.ShadowNetworkCapabilities;
import org.robolectric.util.ReflectionHelpers;

/** What the app does when nobody looks: jobs, reboots, updates, and what it knows of the phone. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = {26, 34})
public class BackgroundTest {
  @Rule public final Phone phone = new Phone();

  private JobInfo job(int id) {
    return phone.app.getSystemService(JobScheduler.class).getPendingJob(id);
  }

  private void wifi(boolean unmetered) {
    ConnectivityManager manager = phone.app.getSystemService(ConnectivityManager.class);
    NetworkCapabilities abilities = ShadowNetworkCapabilities.newInstance();
    if (unmetered) {
      shadowOf(abilities).addCapability(NetworkCapabilities.NET_CAPABILITY_NOT_METERED);
    } else {
      shadowOf(abilities).removeCapability(NetworkCapabilities.NET_CAPABILITY_NOT_METERED);
    }
    shadowOf(manager).setNetworkCapabilities(manager.getActiveNetwork(), abilities);
  }

  private Settings background(boolean idleOnly) {
    Settings.Builder builder = phone.configured().change();
    builder.background = true;
    builder.idleOnly = idleOnly;
    SettingsStore.save(phone.app, builder.build());
    return builder.build();
  }

  @Test
  public void jobHasThePolicysConditions() {
    RoundJob.schedule(phone.app, background(true));
    JobInfo job = job(RoundJob.PERIODIC_ID);
    assertTrue(job.isPeriodic() && job.isPersisted());
    assertTrue(
        job.isRequireCharging() && job.isRequireDeviceIdle() && job.isRequireBatteryNotLow());
    assertEquals(JobInfo.NETWORK_TYPE_UNMETERED, networkType(job));
    RoundJob.schedule(phone.app, phone.configured());
    assertNull("switched off", job(RoundJob.PERIODIC_ID));
  }

  // Its successor is not there on Android 8.
  @SuppressWarnings("deprecation")
  private static int networkType(JobInfo job) {
    return job.getNetworkType();
  }

  @Test
  public void jobWorksInItsWindow() {
    background(false);
    wifi(true);
    RoundJob job = Robolectric.buildService(RoundJob.class).create().get();
    JobParameters parameters = parameters(RoundJob.PERIODIC_ID);
    assertTrue(job.onStartJob(parameters));
    phone.until("it runs", () -> phone.run.begun.getCount() == 0);
    assertTrue("it gives the window back", phone.run.settings.endAtMs > System.currentTimeMillis());
    assertEquals("the window is no setting", 0, SettingsStore.load(phone.app).endAtMs);
    assertFalse("one client at a time", job.onStartJob(parameters));
    assertTrue("to be continued", job.onStopJob(parameters));
    phone.until("it has left", () -> !Fleet.get().running());
  }

  @Test
  public void jobRespectsWhatAndroidDoesNotCheck() throws Exception {
    background(false);
    RoundJob job = Robolectric.buildService(RoundJob.class).create().get();
    wifi(false);
    assertFalse(job.onStartJob(parameters(RoundJob.PERIODIC_ID)));
    wifi(true);
    phone.power(true, 10);
    assertFalse(job.onStartJob(parameters(RoundJob.PERIODIC_ID)));
    assertEquals(0, phone.runs.get());
    File file = new File(Places.results(phone.app, ""), FleetRun.DECISIONS);
    List<JsonObject> decisions = new JsonLines(file, 1).last(9);
    assertEquals("[\"metered-network\"]", decisions.get(0).get("reasons").toString());
    assertEquals("[\"battery-low\"]", decisions.get(1).get("reasons").toString());
  }

  private static JobParameters parameters(int id) {
    // Android's class can be made by Android alone.
    JobParameters parameters = ReflectionHelpers.newInstance(JobParameters.class);
    ReflectionHelpers.setField(parameters, "jobId", id);
    ReflectionHelpers.setField(parameters, "extras", new PersistableBundle());
    return parameters;
  }

  @Test
  public void goesOnAfterRebootIfItWasOn() {
    for (String action :
        new String[] {Intent.ACTION_BOOT_COMPLETED, Intent.ACTION_MY_PACKAGE_REPLACED}) {
      Settings.Builder builder = background(false).change();
      new BootReceiver().onReceive(phone.app, new Intent(action));
      assertNull(shadowOf(phone.app).getNextStartedService());
      assertNotNull(job(RoundJob.PERIODIC_ID));
      builder.wanted = true;
      SettingsStore.save(phone.app, builder.build());
      new BootReceiver().onReceive(phone.app, new Intent(action));
      Intent started = shadowOf(phone.app).getNextStartedService();
      assertEquals(FleetService.class.getName(), started.getComponent().getClassName());
    }
    new BootReceiver().onReceive(phone.app, new Intent("something else"));
    assertNull(shadowOf(phone.app).getNextStartedService());
  }

  @Test
  public void conditionsAreThoseOfThePhone() {
    wifi(true);
    phone.power(true, 42);
    Conditions now = new AndroidConditions(phone.app).read();
    assertEquals(42, now.batteryPercent(), 0);
    assertEquals(31.5, now.batteryTemperatureC(), 1e-9);
    assertTrue(now.charging() && now.online() && now.unmetered());
    assertTrue(now.freeBytes() > 0);
    assertEquals(Build.VERSION.SDK_INT >= 29 ? 0 : -1, now.thermalStatus());
    phone.power(false, 41);
    wifi(false);
    PowerManager power = phone.app.getSystemService(PowerManager.class);
    shadowOf(power).setIsPowerSaveMode(true);
    shadowOf(power).turnScreenOn(false);
    if (Build.VERSION.SDK_INT >= 29) {
      shadowOf(power).setCurrentThermalStatus(4);
    }
    now = new AndroidConditions(phone.app).read();
    assertFalse(now.charging() || now.unmetered() || now.interactive());
    assertTrue(now.batterySaver());
    assertEquals(Build.VERSION.SDK_INT >= 29 ? 4 : -1, now.thermalStatus());
    shadowOf(phone.app.getSystemService(ConnectivityManager.class)).setDefaultNetworkActive(false);
    shadowOf(phone.app.getSystemService(ConnectivityManager.class)).clearAllNetworks();
    assertFalse(new AndroidConditions(phone.app).read().online());
  }

  @Test
  public void theServerIsToldOfTheBatteryAsItIs() {
    phone.power(true, 42);
    assertEquals(42.0, DeviceFacts.of(phone.app).get("battery-percent"));
    assertEquals(true, DeviceFacts.of(phone.app).get("charging"));
    phone.power(false, 41);
    assertEquals(41.0, DeviceFacts.of(phone.app).get("battery-percent"));
    assertEquals(false, DeviceFacts.of(phone.app).get("charging"));
  }
}
