! Trains a network to do in one go what a heat solver does in forty steps. The solver's own arrays are the batches, in place;
! every rank solves its share of the rods.
!
!   mpirun -n 2 heat [options of weft_open]
!
! Prints how far the network is off on rods that it has not seen, as a share of what the solver changes. The exit status is 0
! if that is below a tenth, 1 if it is not, and the error's otherwise.
program heat
    use, intrinsic :: iso_fortran_env, only: int64, real64
    use weft
    implicit none

    integer, parameter :: cells = 24, rods = 64, steps = 600
    real(real64), parameter :: goal = 0.1_real64
    real(real64), allocatable, target :: now(:, :), later(:, :) ! (cells, rods of this rank): tensors (rods, cells)
    integer :: step, first, mine, status
    real(real64) :: off
    type(weft_fabric) :: f
    type(weft_module) :: model
    type(weft_optimizer) :: adam
    type(weft_tensor) :: loss
    type(weft_batch) :: b

    call weft_open(f, weft_open_options(precision=weft_text("64-true")), status)
    if (status /= WEFT_OK) then
        status = weft_close(f)
        stop status, quiet=.true.
    end if
    first = rods*weft_global_rank(f)/weft_world_size(f)
    mine = rods*(weft_global_rank(f) + 1)/weft_world_size(f) - first
    allocate (now(cells, mine), later(cells, mine))

    model = weft_nn_mlp(f, [cells, 48, cells])
    adam = weft_adam(model, weft_adam_options(lr=4d-3))
    call weft_set_schedule(adam, weft_schedule_options(total=steps))
    call weft_setup(f, model, adam)

    do step = 0, steps - 1
        call solve(step*rods + first)
        b = weft_batch_of(f, weft_wrap(f, now), weft_wrap(f, later), step*rods + first, rods)
        loss = weft_mse_loss(weft_forward(model, b%x), b%y)
        call weft_zero_grad(adam)
        call weft_backward(f, loss)
        call weft_step(adam)
        call weft_log(f, "loss", loss)
        call weft_step_end(f, status)
        if (status /= WEFT_OK) exit
    end do

    off = compare()
    if (weft_error(f) == WEFT_OK .and. weft_is_global_zero(f)) print '(a, f7.4)', "off by", off
    status = weft_close(f)
    if (status == 0 .and. .not. off < goal) status = 1
    stop status, quiet=.true.

contains

    ! Fills now with rods from number n on, alike on any number of ranks, and later with what becomes of them.
    subroutine solve(n)
        integer, intent(in) :: n
        integer, parameter :: waves = 6
        real(real64), parameter :: pi = acos(-1.0_real64)
        real(real64) :: t(0:cells + 1), strength
        integer :: r, w, i
        do r = 1, mine
            now(:, r) = 0
            do w = 1, waves
                strength = noise(int(n + r, int64)*waves + w)/w
                now(:, r) = now(:, r) + strength*[(sin(pi*w*i/(cells + 1)), i=1, cells)]
            end do
            t = 0 ! both ends stay cold
            t(1:cells) = now(:, r)
            do i = 1, 40
                t(1:cells) = t(1:cells) + 0.4_real64*(t(0:cells - 1) - 2*t(1:cells) + t(2:cells + 1))
            end do
            later(:, r) = t(1:cells)
        end do
    end subroutine

    ! A number in [-1, 1) that looks random, a function of k.
    pure function noise(k) result(x)
        integer(int64), intent(in) :: k
        real(real64) :: x
        integer(int64) :: s
        integer :: i
        s = k
        do i = 1, 3
            s = mod(s*48271_int64 + 11_int64, 2147483647_int64)
        end do
        x = 2*real(s, real64)/2147483647.0_real64 - 1
    end function

    ! The network against the solver on new rods, over all ranks.
    function compare() result(off)
        real(real64) :: off, sums(2)
        real(real64), allocatable :: guess(:, :)
        integer :: status
        off = huge(off)
        allocate (guess(cells, mine))
        call solve(steps*rods + first)
        call weft_eval_begin(f)
        call weft_copy_out(weft_forward(model, weft_wrap(f, now)), guess, status)
        call weft_eval_end(f)
        sums = [sum((guess - later)**2), sum((later - now)**2)]
        if (status == WEFT_OK) call weft_sum_over_ranks(f, sums, status)
        if (status == WEFT_OK) off = sqrt(sums(1)/sums(2))
    end function
end program
