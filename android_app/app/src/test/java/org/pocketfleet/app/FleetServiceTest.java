package org.pocketfleet.app;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.app.Notification;
import android.app.NotificationManager;
import android.app.Service;
import android.app.job.JobScheduler;
import android.content.Intent;
import android.os.Build;
import java.util.Collections;
import org.junit.Rule;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.pocketfleet.message.Records;
import org.pocketfleet.message.Task;
import org.pocketfleet.transport.UnreachableException;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.android.controller.ServiceController;
import org.robolectric.annotation.Config;
import org.robolectric.shadows.ShadowPowerManager;

@RunWith(RobolectricTestRunner.class)
@Config(sdk = {26, 34})
public class FleetServiceTest {
  @Rule public final Phone phone = new Phone();

  private ServiceController<FleetService> start(Intent intent) {
    ServiceController<FleetService> service =
        Robolectric.buildService(FleetService.class, intent).create();
    int mode = service.get().onStartCommand(intent, 0, 1);
    assertEquals(
        intent == null || FleetService.START.equals(intent.getAction()),
        mode == Service.START_STICKY);
    return service;
  }

  private Intent intent(String action) {
    return new Intent(phone.app, FleetService.class).setAction(action);
  }

  private static Notification shown(ServiceController<FleetService> service) {
    return shadowOf(service.get()).getLastForegroundNotification();
  }

  private Notification progress() {
    NotificationManager manager = phone.app.getSystemService(NotificationManager.class);
    return shadowOf(manager).getNotification(Notifications.PROGRESS_ID);
  }

  private String problem() {
    NotificationManager manager = phone.app.getSystemService(NotificationManager.class);
    Notification notification = shadowOf(manager).getNotification(Notifications.PROBLEM_ID);
    return notification == null ? null : notification.extras.getString(Notification.EXTRA_TEXT);
  }

  @Test
  public void worksInTheForegroundUntilStopped() throws Exception {
    phone.configured();
    ServiceController<FleetService> service = start(intent(FleetService.START));
    assertNotNull(shown(service));
    if (Build.VERSION.SDK_INT >= 29) {
      assertEquals(1, service.get().getForegroundServiceType());
    }
    assertTrue(ShadowPowerManager.getLatestWakeLock().isHeld());
    phone.until("it is ready", () -> phone.run != null && phone.run.begun.getCount() == 0);
    assertTrue(SettingsStore.load(phone.app).wanted);

    Fleet.get()
        .board()
        .working(
            new Task(
                Records.TRAIN,
                Collections.emptyMap(),
                Collections.singletonMap("server-round", 7L)));
    Fleet.get().board().step(3, 12);
    phone.until(
        "progress is shown",
        () -> "Round 7, step 3 of 12".equals(progress().extras.getString(Notification.EXTRA_TEXT)));
    assertEquals(12, progress().extras.getInt(Notification.EXTRA_PROGRESS_MAX));

    Intent stop = shadowOf(shown(service).actions[0].actionIntent).getSavedIntent();
    assertEquals(FleetService.STOP, stop.getAction());
    service.get().onStartCommand(stop, 0, 2);
    phone.until("it has stopped", () -> shadowOf(service.get()).isStoppedBySelf());
    assertFalse(Fleet.get().running());
    assertFalse(SettingsStore.load(phone.app).wanted);
    assertFalse(ShadowPowerManager.getLatestWakeLock().isHeld());
    assertTrue(shadowOf(service.get()).isForegroundStopped());
    assertNull(problem());
  }

  @Test
  public void androidThatKilledItStartsItAgain() {
    Settings.Builder wanted = phone.configured().change();
    wanted.wanted = true;
    wanted.maxRounds = 5;
    SettingsStore.save(phone.app, wanted.build());
    ServiceController<FleetService> service = start(null);
    phone.until("it runs", () -> Fleet.get().running());
    assertEquals("what is left of a limit holds", 5, phone.run.settings.maxRounds);
    service.destroy();
    phone.until("a destroyed service leaves no client", () -> !Fleet.get().running());
    phone.settle();
    assertTrue("it was not the person who stopped it", SettingsStore.load(phone.app).wanted);
  }

  @Test
  public void itsLimitReachedItIsDoneForGood() {
    Settings.Builder wanted = phone.configured().change();
    wanted.wanted = true;
    wanted.maxRounds = 5;
    SettingsStore.save(phone.app, wanted.build());
    ServiceController<FleetService> service = start(null);
    phone.until("it runs", () -> phone.run != null && phone.run.begun.getCount() == 0);
    phone.run.finish(5);
    phone.until("it has stopped", () -> shadowOf(service.get()).isStoppedBySelf());
    assertFalse(SettingsStore.load(phone.app).wanted);
  }

  @Test
  public void nobodyWantsItSoItStaysOff() {
    phone.configured();
    ServiceController<FleetService> service =
        Robolectric.buildService(FleetService.class, null).create();
    assertEquals(Service.START_NOT_STICKY, service.get().onStartCommand(null, 0, 1));
    assertTrue(shadowOf(service.get()).isStoppedBySelf());
    assertEquals(0, phone.runs.get());
  }

  @Test
  public void problemsAreToldAndTheProcessLives() {
    Throwable[] problems = {
      new OutOfMemoryError("Failed to allocate"),
      new StackOverflowError(),
      new UnsatisfiedLinkError("no tensorflowlite_jni"),
      new UnreachableException("127.0.0.1:9: connection refused"),
    };
    String[] words = {"Not enough memory", "Unexpected", "no TensorFlow Lite", "cannot be reached"};
    for (int i = 0; i < problems.length; i++) {
      phone.configured();
      ServiceController<FleetService> service = start(intent(FleetService.START));
      phone.until("it runs", () -> phone.run != null && phone.run.begun.getCount() == 0);
      phone.run.fail(problems[i]);
      phone.until("the problem is told", () -> problem() != null);
      assertTrue(problem(), problem().contains(words[i]));
      assertEquals(Status.Phase.FAILED, Fleet.get().board().status().phase);
      assertTrue(shadowOf(service.get()).isStoppedBySelf());
      assertFalse(ShadowPowerManager.getLatestWakeLock().isHeld());
      phone.run = null;
    }
    start(intent(FleetService.START));
    phone.until("it runs again", () -> phone.run != null && phone.run.begun.getCount() == 0);
    assertNull(problem());
  }

  @Test
  public void startsAgainThoughTheLastOneIsStillLeaving() {
    phone.configured();
    ServiceController<FleetService> service = start(intent(FleetService.START));
    phone.until("it runs", () -> phone.run != null && phone.run.begun.getCount() == 0);
    Phone.IdleRun first = phone.run;
    service.get().onStartCommand(intent(FleetService.STOP), 0, 2);
    service.get().onStartCommand(intent(FleetService.START), 0, 3);
    phone.until("another runs", () -> phone.run != first && phone.run.begun.getCount() == 0);
    assertFalse(shadowOf(service.get()).isStoppedBySelf());
  }

  @Test
  public void endOfAndroidsPatienceHandsOverToJob() {
    Settings.Builder wanted = phone.configured().change();
    wanted.wanted = true;
    SettingsStore.save(phone.app, wanted.build());
    ServiceController<FleetService> service = start(null);
    phone.until("it runs", () -> phone.run != null && phone.run.begun.getCount() == 0);
    service.get().onTimeout(1, 1);
    assertTrue(
        "within seconds, or Android kills the app", shadowOf(service.get()).isStoppedBySelf());
    JobScheduler jobs = phone.app.getSystemService(JobScheduler.class);
    assertNotNull(jobs.getPendingJob(RoundJob.SOON_ID));
    assertTrue(SettingsStore.load(phone.app).wanted);
  }

  @Test
  public void scriptsSettingsAreKept() {
    phone.configured();
    Intent intent =
        intent(FleetService.START)
            .putExtra("server", "10.0.0.5:8000")
            .putExtra("rounds", 3)
            .putExtra("gate", false)
            .putExtra("name", "rack-3")
            .putExtra("out", "run-1");
    start(intent);
    phone.until("it runs", () -> phone.run != null);
    for (Settings settings : new Settings[] {phone.run.settings, SettingsStore.load(phone.app)}) {
      assertEquals("10.0.0.5:8000", settings.server);
      assertEquals(3, settings.maxRounds);
      assertFalse(settings.gated);
      assertEquals("rack-3", settings.name);
      assertEquals("run-1", settings.results);
    }
  }

  @Test
  public void wrongSettingsOfScriptAreTold() {
    phone.configured();
    ServiceController<FleetService> service =
        Robolectric.buildService(FleetService.class, null).create();
    service.get().onStartCommand(intent(FleetService.START).putExtra("sever", "x:1"), 0, 1);
    assertTrue(problem(), problem().contains("'sever'"));
    assertEquals(0, phone.runs.get());
    assertEquals("127.0.0.1:9", SettingsStore.load(phone.app).server);
  }
}
